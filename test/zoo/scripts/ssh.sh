mkdir -m 700 k
ssh-keygen -q -t ed25519 -N '' -f k/host
ssh-keygen -q -t ed25519 -N '' -f k/user
cp k/user.pub k/authorized
mkdir -p /run/sshd
cat > k/sshd_config << EOT
Port 21217
ListenAddress 127.0.0.1
HostKey $PWD/k/host
AuthorizedKeysFile $PWD/k/authorized
PidFile $PWD/k/pid
StrictModes no
UsePAM no
PermitRootLogin yes
EOT
/usr/sbin/sshd -D -f "$PWD/k/sshd_config" -E "$PWD/k/log" &
server=$!
o="-F none -q -p 21217 -i $PWD/k/user -o UserKnownHostsFile=$PWD/k/known -o StrictHostKeyChecking=no -o BatchMode=yes"
for i in $(seq 100); do ssh $o 127.0.0.1 true && break; sleep 0.1; done
if [ "$1" = rsync ]; then
  mkdir a
  split -b 200000 -a 3 "$DATA/text" a/
  rsync -a -e "ssh $o" a/ "127.0.0.1:$PWD/b/"
  sed -i '5~900s/a/A/' a/aab
  rsync -acz --delete -e "ssh $o" a/ "127.0.0.1:$PWD/b/"
  diff -r a b && echo same
else
  for i in 1 2 3; do ssh $o 127.0.0.1 "echo one; echo two >&2; exit $i"; echo $?; done
  ssh $o 127.0.0.1 md5sum < "$DATA/text"
  ssh $o 127.0.0.1 "head -c 3000000 $DATA/text" | md5sum
  ssh $o -tt 127.0.0.1 'stty size; tty | cut -c1-8; exit 5' < /dev/null | tr -d '\r'
  echo "${PIPESTATUS[0]}"
  scp -q -F none -P 21217 -i k/user -o UserKnownHostsFile=k/known "$DATA/data.json" "127.0.0.1:$PWD/copy"
  cmp copy "$DATA/data.json" && echo copied
fi
kill $server
wait $server
echo $?
