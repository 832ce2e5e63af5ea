# Plain POSIX shell: loops, functions, subshells, pipes, here documents, traps, jobs, files.
fib() { if [ "$1" -lt 2 ]; then echo "$1"; else echo $(($(fib $(($1 - 1))) + $(fib $(($1 - 2))))); fi; }
echo "fib $(fib 7)"
i=0 sum=0
while [ $i -lt 60000 ]; do
  i=$((i + 1)) sum=$(((sum * 31 + i) % 65521))
done
echo "sum $sum"
trap 'echo "got USR1"' USR1
kill -USR1 $$
for n in 1 2 3 4; do
  (
    k=0
    while [ $k -lt $((n * 9000)) ]; do k=$((k + 1)); done
    echo "job $n" > "job.$n"
    exit "$n"
  ) &
  eval "pid$n=\$!"
done
for n in 1 2 3 4; do
  eval "wait \$pid$n"
  echo "job $n ended with $?"
done
cat job.*
seq 1 3000 | sed 's/7/seven/g' | grep seven | tr a-z A-Z | tail -n 3
while read -r a b; do echo "$b-$a"; done <<EOT
one two
three four
EOT
set -- x y z
for w; do printf '%s.' "$w"; done
echo
sh -c 'kill -TERM $$'
echo "status $?"
(exit 42) || echo "status $?"
mkfifo pipe
seq 1 20000 > pipe &
n=0
while read -r line; do n=$((n + line)); done < pipe
wait
echo "fifo $n"
rm pipe
trap 'echo bye' EXIT
