redis-server --port 21214 --bind 127.0.0.1 --dir . --save '' --logfile log --daemonize no &
server=$!
r() { redis-cli -p 21214 "$@"; }
for i in $(seq 100); do [ "$(r ping 2>/dev/null)" = PONG ] && break; sleep 0.1; done
for i in $(seq 1500); do
  printf '%s\n' "set k$i $((i * 7919 % 1009))" "incrby sum $i" "zadd z $((i * 31 % 997)) m$i" "rpush l $i"
done | r | md5sum
r dbsize
r get sum
r zrange z 0 3 withscores
r eval 'local s = 0 for i = 1, 1500 do s = s + redis.call("get", "k" .. i) end return s' 0
r save
r llen l
r bgrewriteaof > /dev/null
redis-benchmark -p 21214 -q -n 2000 -c 5 -t set,get,lpush | sed -E 's/[0-9.]+ (requests|msec)/N \1/g; s/.*\r//; s/p50=.*//'
r shutdown nosave
wait $server
echo $?
rm -rf appendonlydir temp-*
