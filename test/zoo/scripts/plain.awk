{ for (i = 1; i <= NF; i++) { n[$i]++; total += length($i) } }
NR % 9000 == 0 { print NR, total }
NR > 60000 { exit }
END {
  for (w in n) if (n[w] > 9000) print w, n[w] | "sort"
  close("sort")
  "echo from a shell" | getline line
  print line
  for (i = 0; i < 4000000; i++) s = (s * 31 + i) % 65521
  print s, substr("abcdef", 2, 3), index("tesela", "s"), toupper("x")
  print system("exit 3")
}
