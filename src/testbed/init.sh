#!/bin/sh
# init of a namespace host: starts the node's services, starts those again that end, and reaps what has lost its parent.
#
#   init.sh PACKAGE NUMBER "SERVICE..."        a service is a program in the package's bin directory
#
# /run/services/NAME.pid is its PID. While /run/services/NAME.down exists it is not started; NAME.once: not again after it ended.
package=$1 number=$2 services=$3
control=/run/services
log=/var/log/tesela

# Waits grow while a service keeps ending at once, and start anew when it has lasted a while.
next_delay() {
  case $1 in
    0.1) echo 0.2 ;;
    0.2) echo 0.5 ;;
    0.5) echo 1 ;;
    1) echo 2 ;;
    *) echo 5 ;;
  esac
}
LASTED=10

serve() {
  name=$1
  delay=0.1
  while :; do
    if [ -e "$control/$name.down" ]; then
      sleep 0.1
      continue
    fi
    read -r begin rest </proc/uptime
    # In a session of its own, as systemd gives to each: it then says itself how it is scheduled.
    setsid "$package/bin/$name" </dev/null >>"$log/$name.log" 2>&1 &
    echo $! >"$control/$name.pid"
    wait $!
    status=$?
    rm -f "$control/$name.pid"
    echo "$name ended with status $status" >>"$log/init.log"
    [ ! -e "$control/$name.once" ] || : >"$control/$name.down"
    read -r end rest </proc/uptime
    [ $((${end%.*} - ${begin%.*})) -lt $LASTED ] || delay=0.1
    sleep $delay
    delay=$(next_delay $delay)
  done
}

for service in $services; do
  serve "$service" 4>&- &
done
echo "ready $number" >&4
exec 4>&-
while :; do
  sleep 86400 &
  wait
done
