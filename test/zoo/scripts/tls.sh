openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -days 2 -subj /CN=localhost 2>/dev/null
head -c 3000000 "$DATA/text" > big
openssl s_server -quiet -accept 127.0.0.1:21218 -key k.pem -cert c.pem -WWW > /dev/null 2>&1 &
server=$!
sleep 0.5
for i in 1 2 3; do
  printf 'GET /big HTTP/1.0\r\n\r\n' | openssl s_client -quiet -connect 127.0.0.1:21218 -CAfile c.pem 2>/dev/null | tail -c 3000000 | md5sum
done
openssl s_client -connect 127.0.0.1:21218 -CAfile c.pem < /dev/null 2>/dev/null | grep -E '^Verification|^New'
kill $server
wait $server
echo $?
rm k.pem c.pem
