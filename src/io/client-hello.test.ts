import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { connect } from "node:tls";
import fc from "fast-check";
import { TeselaError } from "../base/mod.ts";
import { MAX_CLIENT_HELLO, parseClientHello } from "./client-hello.ts";

/** What a real client sends first. */
async function firstBytes(options: { ALPNProtocols?: string[]; servername?: string }): Promise<Buffer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect({ host: "127.0.0.1", port: (server.address() as { port: number }).port, ...options });
  client.on("error", () => {});
  const [socket] = await once(server, "connection");
  const [bytes] = await once(socket, "data");
  socket.destroy();
  client.destroy();
  server.close();
  return bytes;
}

const hello = await firstBytes({ ALPNProtocols: ["tesela-bulk/1", "other"], servername: "w3.n2.tesela" });
const isProtocol = (e: unknown) => e instanceof TeselaError && e.code === "E_PROTOCOL";

test("protocol and server name are found, or found to be absent", async () => {
  assert.deepEqual(parseClientHello(hello), { alpn: ["tesela-bulk/1", "other"], serverName: "w3.n2.tesela" });
  assert.deepEqual(parseClientHello(await firstBytes({})), { alpn: [], serverName: "" });
});

test("every beginning of a hello is incomplete, and bytes behind it do not matter", () => {
  for (let n = 0; n < hello.length; n++) assert.equal(parseClientHello(hello.subarray(0, n)), null);
  assert.equal(parseClientHello(Buffer.concat([hello, Buffer.from("rest")]))?.serverName, "w3.n2.tesela");
});

test("a hello in several records is joined", () => {
  const body = hello.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < body.length; at += 100) {
    const part = body.subarray(at, at + 100);
    records.push(Buffer.from([22, 3, 1, 0, part.length]), part);
  }
  const split = Buffer.concat(records);
  assert.deepEqual(parseClientHello(split), parseClientHello(hello));
  for (let n = 0; n < split.length; n++) assert.equal(parseClientHello(split.subarray(0, n)), null);
});

test("changed and random bytes are refused, waited for or read, never more", () => {
  const tried = (bytes: Buffer): void => {
    try {
      parseClientHello(bytes);
    } catch (e) {
      assert.ok(isProtocol(e), String(e));
    }
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => tried(Buffer.from(bytes))),
    { numRuns: 3000 },
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat({ max: hello.length - 1 }), fc.nat({ max: 255 })), { minLength: 1, maxLength: 6 }), (changes) => {
      const bytes = Buffer.from(hello);
      for (const [at, value] of changes) bytes[at] = value;
      tried(bytes);
    }),
    { numRuns: 3000 },
  );
  assert.throws(() => parseClientHello(Buffer.alloc(MAX_CLIENT_HELLO + 1, 22)), isProtocol);
});
