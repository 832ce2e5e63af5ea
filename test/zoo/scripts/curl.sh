mkdir www
for i in 1 2 3 4 5 6; do head -c $((i * 200000)) "$DATA/text" > www/f$i; done
python3 -m http.server -b 127.0.0.1 -d www 21216 2> /dev/null &
server=$!
for i in $(seq 100); do curl -s -o /dev/null http://127.0.0.1:21216/ && break; sleep 0.1; done
for i in 1 2 3; do
  curl -s --limit-rate 2M http://127.0.0.1:21216/f$i | md5sum
done
curl -s --no-progress-meter -Z 'http://127.0.0.1:21216/f[1-6]' -o 'g#1' 2> /dev/null
cmp www/f6 g6 && md5sum g*
curl -s -o h -w '%{http_code} %{size_download} %{num_connects}\n' http://127.0.0.1:21216/none
curl -s "file://$PWD/www/f2" | md5sum
curl -s http://127.0.0.1:1/
echo $?
kill $server
wait $server
echo $?
rm h
