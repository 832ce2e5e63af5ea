import hashlib, socket, time

for _ in range(100):
    try:
        s = socket.create_connection(("127.0.0.1", 21211))
        break
    except OSError:
        time.sleep(0.1)
f = s.makefile("rwb")
h = hashlib.sha256()
for i in range(4000):
    v = b"%d" % (i * 7919) * (i % 50 + 1)
    f.write(b"set k%d 0 0 %d\r\n%s\r\n" % (i % 300, len(v), v))
    f.flush()
    h.update(f.readline())
    f.write(b"get k%d\r\n" % (i % 300))
    f.flush()
    while (line := f.readline()) != b"END\r\n": h.update(line)
print(h.hexdigest())
