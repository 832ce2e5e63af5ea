import assert from "node:assert/strict";
import { once } from "node:events";
import { readSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { descriptors } from "./fd.ts";
import { peek } from "./sockets.unsafe.ts";

const GUARD_MS = 20_000;
async function until(good: () => boolean): Promise<void> {
  for (const start = performance.now(); !good(); await sleep(5)) assert.ok(performance.now() - start < GUARD_MS);
}

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
    await until(() => peek(own, into) === 5);
    for (let i = 0; i < 2; i++) assert.equal(into.toString("latin1", 0, peek(own, into) ?? 0), "hello");
    assert.equal(readSync(own, into), 5);
    client.end();
    await until(() => peek(own, into) !== null);
    assert.equal(peek(own, into), 0);
  } finally {
    descriptors.close(own);
    socket.destroy();
    client.destroy();
    server.close();
  }
  assert.throws(() => peek(own, Buffer.alloc(1)), /recv: E(BADF|NOTSOCK)/);
});
