import hashlib, queue, threading, time
from concurrent.futures import ThreadPoolExecutor

jobs, done = queue.Queue(8), queue.Queue()

def work():
    while (n := jobs.get()) is not None:
        done.put((n, hashlib.sha256(bytes([n % 251]) * 60000).hexdigest()[:8]))

crew = [threading.Thread(target=work) for _ in range(4)]
for t in crew: t.start()
for n in range(9000): jobs.put(n)
for t in crew: jobs.put(None)
for t in crew: t.join()
print(hashlib.md5(repr(sorted(done.queue)).encode()).hexdigest())

lock, total = threading.Lock(), 0
def add(k):
    global total
    for i in range(40000):
        with lock: total += i ^ k
    return k
with ThreadPoolExecutor(3) as pool: print(sorted(pool.map(add, range(9))), total)

ready, event, seen = threading.Barrier(3), threading.Event(), []
# Two that sleep may both be late, and then wake in any order.
before = [threading.Event() for _ in range(4)]
before[1].set()
def wait(k):
    ready.wait()
    event.wait(5)
    time.sleep(0.3 * k)
    before[k].wait()
    seen.append(k)
    before[k + 1].set()
more = [threading.Thread(target=wait, args=(k,)) for k in (1, 2)]
for t in more: t.start()
ready.wait()
event.set()
for t in more: t.join()
print(seen, threading.active_count())
timer = threading.Timer(0.2, lambda: print("timer", flush=True))
timer.start()
timer.join()
