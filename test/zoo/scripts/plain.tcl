proc fib n { expr {$n < 2 ? $n : [fib [expr {$n-1}]] + [fib [expr {$n-2}]]} }
puts [fib 27]
set f [open $env(DATA)/text]
set text [read $f 1000000]
close $f
foreach w [split $text] { incr n($w) }
puts [array size n]
puts [lrange [lsort -integer -decreasing [lmap {k v} [array get n] { set v }]] 0 4]
puts [exec seq 1 1000 | tail -n 1]
set p [open "|sort -n" r+]
for {set i 0} {$i < 2000} {incr i} { puts $p [expr {$i * 7919 % 2003}] }
flush $p
close $p write
puts [string length [read $p]]
close $p
proc serve {c a p} { puts $c "hello [gets $c]"; close $c }
set s [socket -server serve -myaddr 127.0.0.1 0]
set port [lindex [fconfigure $s -sockname] 2]
for {set i 0} {$i < 10} {incr i} {
  set c [socket 127.0.0.1 $port]
  fconfigure $c -buffering line
  puts $c "n $i"
  fileevent $c readable "set done \[gets $c\]"
  vwait done
  puts $done
  close $c
}
after 200 { set late 1 }
vwait late
catch { exec sh -c {exit 3} } m o
puts [lindex [dict get $o -errorcode] 2]
