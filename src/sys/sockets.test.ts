import assert from "node:assert/strict";
import { once } from "node:events";
import { readSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { descriptors } from "./fd.ts";
import { peek } from "./sockets.unsafe.ts";

test("peek sees bytes and leaves them, sees the end, and reports what is no socket", async () => {
  const server = createServer({ pauseOnConnect: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as { port: number }).port, "127.0.0.1");
  const [socket] = (await once(server, "connection")) as [Socket];
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  const own = descriptors.dup(fd);
  try {
    const into = Buffer.alloc(8);
    assert.equal(peek(own, into), null);
    client.write("hello");
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (let i = 0; i < 2; i++) assert.equal(into.toString("latin1", 0, peek(own, into) ?? 0), "hello");
    assert.equal(readSync(own, into), 5);
    client.end();
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(peek(own, into), 0);
  } finally {
    descriptors.close(own);
    socket.destroy();
    client.destroy();
    server.close();
  }
  assert.throws(() => peek(own, Buffer.alloc(1)), /recv: E(BADF|NOTSOCK)/);
});
