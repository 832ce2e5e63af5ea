#!/bin/sh
# The one process that holds a local cluster together: PID 1 of a PID namespace in which everything of the cluster lives, in the
# network namespace of the switch, with private mounts. When it ends, however it ends, the kernel ends all the rest.
#
#   keeper.sh DIRECTORY        DIRECTORY holds `plan` (a line a host: NUMBER NAME ADDRESS MAC CPU MONOTONIC BOOT) and what host.sh needs
#
# Says on stdout `keeper PID`, then what host.sh says, or `failed NAME` and why. Ends when stdin ends before the word `keep`:
# a cluster that is not complete goes with the command that was making it.
set -eu
dir=$1
scripts=${0%/*}
exec 3<&0 4>&1 </dev/null >>"$dir/keeper.log" 2>&1
trap 'exit 1' TERM
# /proc is still the one of the machine, which counts as the caller does.
read -r pid rest </proc/self/stat
echo "keeper $pid" >&4

(
  word=
  read -r word <&3 || :
  [ "$word" = keep ] || kill -TERM 1
) 4>&- &
exec 3<&-

mount --make-rprivate /
ip -batch - <<EOF
link set lo up
link add br0 type bridge stp_state 0 mcast_snooping 0
link set br0 up
EOF

# Network first, for the host's end of the cable is made from this side; then the host inside it, until it ends.
host() {
  net=$dir/$2/net
  : >"$net"
  # Not `unshare --net=FILE`: that looks itself up in /proc by a PID that /proc does not count by.
  unshare --net mount --bind /proc/self/ns/net "$net"
  ip -batch - <<EOF
link add v$1 type veth peer name eth0 address $4 netns $net
link set v$1 master br0 up
EOF
  pin=
  [ "$5" = - ] || pin="taskset -c $5"
  time=
  [ "$6" = - ] || time="--time --monotonic $6 --boottime $7"
  $pin nsenter --net="$net" unshare $time --mount --pid --uts --ipc --fork --kill-child "$scripts/host.sh" "$dir" "$1" "$2" "$3"
}

while read -r number name address mac cpu monotonic boot; do
  (
    status=0
    (set -e && host "$number" "$name" "$address" "$mac" "$cpu" "$monotonic" "$boot") >>"$dir/$name/log/boot.log" 2>&1 || status=$?
    echo "ended $name $status" >&4
  ) &
done <"$dir/plan"
exec 4>&-

# Hosts may come and go; the cluster stays until it is taken down. `wait` also reaps what has lost its parent.
while :; do
  sleep 86400 &
  wait
done
