mkdir -m 700 s
export SCREENDIR=$PWD/s TERM=xterm
screen -S zoo -d -m -s /bin/sh
for i in $(seq 50); do screen -S zoo -Q echo >/dev/null 2>&1 && break; sleep 0.1; done
for i in 1 2 3 4 5; do
  # Its own parser takes a dollar sign for a variable of its own.
  screen -S zoo -X stuff "k=0; while [ \\\$k -lt 400000 ]; do k=\\\$((k+1)); done; echo line $i \\\$k >> out\r"
done
for i in $(seq 600); do [ "$(cat out 2>/dev/null | wc -l)" = 5 ] && break; sleep 0.1; done
cat out
screen -S zoo -X quit
for i in $(seq 50); do screen -ls >/dev/null 2>&1 || break; sleep 0.1; done
