#!/bin/sh
# Makes the file tree of a namespace host and becomes its init. Runs as PID 1 in the host's own network, mount, PID, UTS and IPC
# namespaces; the mounts are still a private copy of the machine's.
#
#   host.sh DIRECTORY NUMBER NAME ADDRESS        says `host NUMBER PID` on descriptor 4, and `ready NUMBER` when the tree stands
set -eu
dir=$1 number=$2 name=$3 address=$4
own=$dir/$name
. "$dir/settings"

# /proc is still the machine's.
read -r pid rest </proc/self/stat
echo "host $number $pid" >&4
[ ! -s "$own/cgroup" ] || while read -r group; do echo 0 >"$group/cgroup.procs"; done <"$own/cgroup"

# Without a route for 224/4 multicast joins fail with ENODEV.
ip -batch - <<EOF
link set lo up
addr add $address/24 dev eth0
link set eth0 up
route add 224.0.0.0/4 dev eth0
EOF
hostname "$name" || echo "$name" >/proc/sys/kernel/hostname

# The host's own changes live in memory, in a file system that goes with its mount namespace.
fs=$own/fs
root=$fs/root
mount -t tmpfs -o mode=755 tesela "$fs"
mkdir -p "$root" "$fs/upper" "$fs/scratch"
[ "$rootless" = no ] || mount -t tmpfs -o mode=755 tesela "$root"
n=0
while read -r kind mode owner path; do
  at=$root$path
  case $kind in
    overlay)
      n=$((n + 1))
      mkdir -m "$mode" "$fs/upper/$n" "$fs/scratch/$n"
      if [ "$rootless" = yes ]; then
        # Directories of root belong to nobody here, and nobody may make anything in them; these are made the host's own first.
        for place in /var/lib/tesela /var/log/tesela; do
          case $place in "$path"/*) mkdir -p "$fs/upper/$n/${place#"$path"/}" ;; esac
        done
      elif [ "$owner" != 0:0 ]; then chown "$owner" "$fs/upper/$n"; fi
      [ -d "$at" ] || mkdir -p "$at"
      layers="lowerdir=$path,upperdir=$fs/upper/$n,workdir=$fs/scratch/$n"
      # What an overlay cannot have below (some network and FUSE file systems) is shown as it is, read-only.
      if [ "$rootless" = yes ] && mount -t overlay -o "$layers,userxattr" tesela "$at"; then :
      elif mount -t overlay -o "$layers" tesela "$at"; then :
      elif [ "$path" != / ] && mount --bind "$path" "$at"; then mount -o remount,bind,ro "$at" || :
      else exit 1; fi
      ;;
    bind)
      if [ -d "$path" ]; then mkdir -p "$at"; else [ -e "$at" ] || : >"$at"; fi
      mount --bind "$path" "$at" && mount -o remount,bind,ro "$at" || echo "$path is not on the host"
      ;;
    copy) cp "$path" "$at" && chmod "$mode" "$at" || echo "$path is not on the host" ;;
    link) cp -P "$path" "$at" ;;
    dir) mkdir -p -m "$mode" "$at" ;;
  esac
done <"$dir/mirror"

mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/etc"
mount -t proc proc "$root/proc"
if mount -t sysfs sysfs "$root/sys"; then
  [ ! -d "$root/sys/fs/cgroup" ] || mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
else
  mount --rbind /sys "$root/sys"
fi
# The caller's terminals have to stay terminals, so the devices are the machine's; shared memory and queues are the host's.
mount --rbind /dev "$root/dev"
[ -h "$root/dev/shm" ] || [ ! -d "$root/dev/shm" ] || mount -t tmpfs -o mode=1777 tesela "$root/dev/shm"
[ ! -d "$root/dev/mqueue" ] || mount -t mqueue mqueue "$root/dev/mqueue"
mount -t tmpfs -o mode=755 tesela "$root/run"
mkdir -p "$root/run/lock" "$root/run/services"
chmod 1777 "$root/run/lock"
for service in $once; do : >"$root/run/services/$service.once"; done

mkdir -p "$root/var/lib/tesela" "$root/var/log/tesela"
mount --bind "$own/state" "$root/var/lib/tesela"
mount --bind "$own/log" "$root/var/log/tesela"
rm -f "$root/etc/hosts" "$root/etc/hostname"
cp "$dir/hosts" "$root/etc/hosts"
echo "$name" >"$root/etc/hostname"
# Other hosts' keys and trees are not for this one.
[ ! -d "$root$clusters" ] || mount -t tmpfs -o mode=700 tesela "$root$clusters"
if [ ! -x "$root$package/bin/tesela" ]; then
  mkdir -p "$root$package"
  mount --rbind "$package" "$root$package"
  mount -o remount,bind,ro "$root$package"
fi
cp "$dir/enter" "$root/run/tesela-enter"

# init must not hold a file of the tree that goes away: it reads its script from the new one.
cd "$root"
mkdir run/machine
pivot_root . run/machine
umount -l /run/machine
rmdir /run/machine
exec env -i PATH="$search" HOME="$home" LANG=C.UTF-8 TESELA_TESTBED="$dir" $environment \
  /bin/sh "$package/src/testbed/init.sh" "$package" "$number" "$services"
