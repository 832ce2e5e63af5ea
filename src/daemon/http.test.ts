import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Log, TeselaError } from "../base/mod.ts";
import { ask, type Far } from "./client.ts";
import { jsonServer } from "./http.ts";
import { listenUnix } from "./listen.ts";

class Dir implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "tesela-"));
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
const log = new Log({ level: "error" });
const far = (socket: string): Far => ({ socket, absent: "E_NODAEMON", name: "teselad" });
const fails = (code: string, text: RegExp) => (e: unknown) => e instanceof TeselaError && e.code === code && text.test(e.message);

test("JSON both ways, the caller as the kernel knows it, errors as they were thrown", async () => {
  using dir = new Dir();
  const socket = join(dir.path, "sub", "s");
  const server = jsonServer(
    {
      "GET /who": (_, caller) => Promise.resolve(caller),
      "POST /echo": (body) => Promise.resolve(body),
      "POST /no": () => Promise.reject(new TeselaError("E_CANTMOVE", "it stays", { reasons: ["a"] })),
    },
    log,
  );
  await using _ = await listenUnix(server, socket, 0o666);
  assert.equal(statSync(socket).mode & 0o777, 0o666);
  assert.deepEqual(await ask(far(socket), { method: "GET", path: "/who" }), {
    uid: process.getuid?.(),
    gid: process.getgid?.(),
    via: null,
  });
  assert.deepEqual(await ask(far(socket), { method: "POST", path: "/echo", body: { a: "\u2713" } }), { a: "\u2713" });
  await assert.rejects(ask(far(socket), { method: "POST", path: "/no", body: {} }), (e) => {
    assert.deepEqual((e as TeselaError).toJSON(), { error: "E_CANTMOVE", message: "it stays", reasons: ["a"] });
    return true;
  });
  await assert.rejects(ask(far(socket), { method: "GET", path: "/constructor" }), fails("E_USAGE", /does not know GET \/constructor/));
  await assert.rejects(
    ask(far(socket), { method: "POST", path: "/echo", body: "x".repeat(70_000) }),
    fails("E_USAGE", /longer than 65536/),
  );
});

test("nobody there, a dead one's socket, a living one's, silence, nonsense", async () => {
  using dir = new Dir();
  const socket = join(dir.path, "s");
  await assert.rejects(ask(far(socket), { method: "GET", path: "/" }), fails("E_NODAEMON", /teselad does not run on this node/));
  const mute = createServer((s) => {
    s.on("error", () => undefined);
    s.once("data", (d) => String(d).startsWith("POST") && s.end("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{{{"));
  });
  await using first = await listenUnix(mute, socket, 0o600);
  await assert.rejects(listenUnix(createServer(), socket, 0o600), fails("E_EXISTS", /another one runs already/));
  await assert.rejects(ask(far(socket), { method: "GET", path: "/", timeoutMs: 20 }), fails("E_TIMEOUT", /within 20 ms/));
  await assert.rejects(ask(far(socket), { method: "POST", path: "/" }), fails("E_PROTOCOL", /not JSON/));
  await first[Symbol.asyncDispose]();
  assert.throws(() => statSync(socket), /ENOENT/, "nothing is left behind");
});

test("the socket of one that died without a word is taken over", async () => {
  using dir = new Dir();
  const socket = join(dir.path, "s");
  const dead = createServer();
  const made = await listenUnix(dead, `${socket}x`, 0o600);
  const { linkSync } = await import("node:fs");
  linkSync(`${socket}x`, socket);
  await made[Symbol.asyncDispose]();
  await using _ = await listenUnix(jsonServer({ "GET /": () => Promise.resolve(1) }, log), socket, 0o600);
  assert.equal(await ask(far(socket), { method: "GET", path: "/" }), 1);
});
