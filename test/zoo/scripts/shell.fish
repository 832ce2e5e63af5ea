set total 0
for i in (seq 1 12000)
  set total (math "($total * 31 + $i) % 65521")
  if test (math "$i % 4000") -eq 0; echo $i $total; end
end
seq 1 500 | while read n; test (math "$n % 7") -eq 0; and echo $n; end | md5sum
string upper hello | string replace L x -a
