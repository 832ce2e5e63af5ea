typeset -A h
for i in {1..200000}; do (( h[$((i % 97))] += i )); done
print -l ${(kv)h} | sort | md5sum
print ${(U)${:-lower}} ${(j:,:)${(s: :)${:-a b c}}}
for i in {1..5}; do ( for k in {1..$((i * 4000))}; do :; done; exit $i ) & pids+=($!); done
for p in $pids; do wait $p; print "status $?"; done
print -l =(print one) | wc -l
zmodload zsh/mathfunc; printf '%.6f\n' $(( sin(1.0) + sqrt(2.0) ))
print **/*(N) | wc -w
