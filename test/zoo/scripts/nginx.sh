mkdir -p logs tmp nginx www
head -c 300000 "$DATA/text" > www/big
echo hello > www/small
cat > nginx.conf << EOT
daemon off;
user root;
worker_processes 2;
pid $PWD/nginx/pid;
error_log $PWD/logs/error.log;
events { worker_connections 64; }
http {
  access_log $PWD/logs/access.log;
  client_body_temp_path tmp/a; proxy_temp_path tmp/b; fastcgi_temp_path tmp/c; uwsgi_temp_path tmp/d; scgi_temp_path tmp/e;
  server { listen 127.0.0.1:21215; root $PWD/www; location /twice { proxy_pass http://127.0.0.1:21215/big; } }
}
EOT
nginx -p "$PWD" -c "$PWD/nginx.conf" &
server=$!
for i in $(seq 100); do curl -s -o /dev/null http://127.0.0.1:21215/small && break; sleep 0.1; done
wrk -t2 -c6 -d3s http://127.0.0.1:21215/small | grep -E 'Non-2xx|Socket errors' || echo "wrk saw no error"
for i in 1 2 3 4; do
  curl -s http://127.0.0.1:21215/big | md5sum
  curl -s http://127.0.0.1:21215/twice | md5sum
done
wrk -t2 -c6 -d1s http://127.0.0.1:21215/big | grep -E 'Non-2xx|Socket errors' || echo "wrk saw no error"
curl -s -o /dev/null -w '%{http_code} %{size_download}\n' http://127.0.0.1:21215/none
kill -QUIT $server
wait $server
echo $?
