export TERM=xterm
t() { tmux -f /dev/null -S "$PWD/socket" "$@"; }
t new-session -d -x 80 -y 24 -s zoo /bin/sh
t split-window -t zoo /bin/sh
for i in 1 2 3 4 5; do
  t send-keys -t zoo.0 "k=0; while [ \$k -lt 60000 ]; do k=\$((k+1)); done; echo left $i \$k | tee -a left" Enter
  t send-keys -t zoo.1 "k=0; while [ \$k -lt 50000 ]; do k=\$((k+1)); done; echo right $i \$k | tee -a right" Enter
done
for i in $(seq 600); do [ "$(cat left right 2>/dev/null | wc -l)" = 10 ] && break; sleep 0.1; done
cat left right
t send-keys -t zoo.1 "clear; cat right; echo the ''end" Enter
for i in $(seq 600); do t capture-pane -p -t zoo.1 | grep -q '^the end' && break; sleep 0.1; done
t capture-pane -p -t zoo.1 | grep -E '^(right|the end)'
t display-message -p '#{window_width}x#{window_height} #{window_panes}'
t kill-server
for i in $(seq 50); do t ls >/dev/null 2>&1 || break; sleep 0.1; done
rm -f socket
