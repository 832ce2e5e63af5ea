import multiprocessing as mp, os, signal, sys, time

def square(n):
    return n, sum(i * i % 7 for i in range(n * 300))

def child(pipe, k):
    total = 0
    while (n := pipe.recv()) is not None:
        total += n * k
        pipe.send((n, total))
    pipe.close()
    sys.exit(k)

if __name__ == "__main__":
    for method in ("fork", "spawn"):
        ctx = mp.get_context(method)
        with ctx.Pool(3) as pool:
            print(method, pool.map(square, range(240))[-3:])
            print(sum(b for a, b in pool.imap_unordered(square, range(120))))
    here, there = mp.Pipe()
    p = mp.Process(target=child, args=(there, 3))
    p.start()
    for n in range(1500):
        here.send(n)
        got = here.recv()
    here.send(None)
    p.join()
    print(got, p.exitcode)
    q, value, lock = mp.Queue(), mp.Value("i", 0), mp.Lock()
    def add(k):
        for _ in range(300):
            with value.get_lock(): value.value += k
        with lock: q.put(k)
    crew = [mp.Process(target=add, args=(k,)) for k in (1, 2, 3)]
    for p in crew: p.start()
    print(sorted(q.get() for _ in crew))
    for p in crew: p.join()
    print(value.value, [p.exitcode for p in crew])
    p = mp.Process(target=time.sleep, args=(60,))
    p.start()
    p.terminate()
    p.join()
    print(p.exitcode)
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
