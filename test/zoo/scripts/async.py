import asyncio, hashlib

async def serve(reader, writer):
    while line := await reader.readline():
        n = int(line)
        await asyncio.sleep(0.001 * (n % 3))
        writer.write(f"{n} {hashlib.sha256(line * 2000).hexdigest()[:12]}\n".encode())
        await writer.drain()
    writer.close()

async def client(port, k):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    digest = hashlib.sha256()
    for i in range(400):
        writer.write(f"{k * 1000 + i}\n".encode())
        digest.update(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return digest.hexdigest()[:16]

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(await asyncio.gather(*(client(port, k) for k in range(5))))
    server.close()
    p = await asyncio.create_subprocess_exec("sort", "-n", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    out, _ = await p.communicate("".join(f"{i * 7919 % 5003}\n" for i in range(5000)).encode())
    print(p.returncode, hashlib.md5(out).hexdigest())
    queue = asyncio.Queue(4)
    async def produce():
        for i in range(2000): await queue.put(i)
        await queue.put(None)
    task = asyncio.create_task(produce())
    total = 0
    while (i := await queue.get()) is not None: total += i
    await task
    print(total)
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.1)
    except asyncio.TimeoutError:
        print("timeout")
    print(await asyncio.to_thread(sum, range(100000)))

asyncio.run(main())
