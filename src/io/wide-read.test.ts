import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type TLSSocket } from "node:tls";
import { test } from "node:test";
import { MiB, nodeId } from "../base/mod.ts";
import { createCluster, issueNode } from "../cluster/mod.ts";
import { descriptors } from "../sys/mod.ts";
import { contextOptions } from "./tls-options.ts";
import { readWidely } from "./wide-read.ts";

const BYTES = 24 * MiB;

/** Both ends of a TLS connection. */
async function pair(): Promise<{ near: TLSSocket; far: TLSSocket } & AsyncDisposable> {
  const c = await issueNode(await createCluster("test"), nodeId(1), "a");
  const server = createServer({ ...contextOptions(c), requestCert: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const accepted = once(server, "secureConnection");
  const near = connect({ ...contextOptions(c), host: "127.0.0.1", port, checkServerIdentity: () => undefined });
  await once(near, "secureConnect");
  const [far] = (await accepted) as [TLSSocket];
  for (const socket of [near, far]) socket.on("error", () => socket.destroy());
  const end = async (): Promise<void> => {
    near.destroy();
    far.destroy();
    server.close();
    await once(server, "close");
  };
  return { near, far, [Symbol.asyncDispose]: end };
}

test("all bytes come in order, across pauses, and then the end", async () => {
  await using both = await pair();
  const { near, far } = both;
  assert.ok(readWidely(far, descriptors), "this Node.js has what it takes");
  const bytes = Buffer.alloc(BYTES);
  for (let i = 0; i < BYTES; i += 4) bytes.writeUInt32LE(i, i);
  near.end(bytes);
  let got = 0;
  let pieces = 0;
  far.on("data", (chunk: Buffer) => {
    assert.ok(chunk.equals(bytes.subarray(got, got + chunk.length)));
    got += chunk.length;
    if (++pieces % 100 !== 0) return;
    far.pause();
    setTimeout(() => far.resume(), 1);
  });
  await once(far, "end");
  assert.equal(got, BYTES);
});

test("a paused stream holds its peer back, and writes still leave", async () => {
  await using both = await pair();
  const { near, far } = both;
  readWidely(far, descriptors);
  far.pause();
  let left = false;
  const written = new Promise<void>((resolve) =>
    near.write(Buffer.alloc(4 * BYTES), () => {
      left = true;
      resolve();
    }),
  );
  far.write("back");
  assert.equal(String((await once(near, "data"))[0]), "back");
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(left, false);
  let got = 0;
  far.on("data", (chunk: Buffer) => {
    got += chunk.length;
  });
  far.resume();
  while (got < 4 * BYTES) await once(far, "data");
  // The last bytes may be read before their writer is told that they have left.
  await written;
});

test("a peer that is gone without a word ends the stream", async () => {
  await using both = await pair();
  const { near, far } = both;
  readWidely(far, descriptors);
  far.resume();
  const closed = once(far, "close");
  (near as unknown as { _handle: { _parent?: unknown; close(): void } })._handle.close();
  near.destroy();
  await closed;
});
