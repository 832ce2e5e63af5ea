# What bash has of its own.
declare -A count
for ((i = 0; i < 40000; i++)); do ((count[$((i * 7919 % 101))] += i)); done
for k in "${!count[@]}"; do echo "$k ${count[$k]}"; done | sort -n | md5sum
a=()
for i in {1..3000}; do a+=("$((RANDOM * 0 + i * i % 997))"); done
printf '%s\n' "${a[@]}" | sort -n | uniq -c | tail -n 2
diff <(seq 1 500) <(seq 1 2 500 | sed 's/$/x/') | wc -l
coproc UP { while read -r line; do echo "${line^^}"; done; }
for w in alpha beta gamma; do
  echo "$w" >&"${UP[1]}"
  read -r -u "${UP[0]}" answer
  echo "$answer"
done
up=$UP_PID
eval "exec ${UP[1]}>&-"
wait "$up"
[[ "tesela-42" =~ ^([a-z]+)-([0-9]+)$ ]] && echo "${BASH_REMATCH[2]}"
trap 'echo "$hits"' EXIT
hits=0
trap '((hits++))' USR1
for i in 1 2 3 4 5; do
  kill -USR1 $$
  sleep 0.05
done
(
  ulimit -n 64
  ulimit -n
)
set -o pipefail
false | true
echo "pipefail $?"
for i in {1..6}; do
  { for ((k = 0; k < 4000 * i; k++)); do :; done; echo "$i" > "done.$i"; } &
done
wait
cat done.*
timeout 0.3 sleep 5
echo "timeout $?"
mapfile -t lines < <(seq 1 2000)
echo "${#lines[@]} ${lines[1999]}"
exec 7< "$DATA/words"
read -r -u 7 first
read -r -u 7 -N 9 part
echo "$first $part"
