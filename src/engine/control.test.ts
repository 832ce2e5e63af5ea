import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { TeselaError } from "../base/mod.ts";
import { controlServer, parseRequest } from "./control.ts";

async function withServer(run: (socket: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "tesela-control-"));
  const socket = join(dir, "s");
  const server = controlServer({
    "GET /status": () => ({ ok: true }),
    "POST /echo": (b) => b,
    "POST /fail": () => {
      throw new TeselaError("E_CANTMOVE", "no", { reasons: ["threads"] });
    },
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  try {
    await run(socket);
  } finally {
    server.close();
    rmSync(dir, { recursive: true });
  }
}

const ask = (socketPath: string, method: string, path: string, body?: string): Promise<{ status: number; body: unknown }> =>
  new Promise((resolve, reject) => {
    const req = request({ socketPath, method, path, agent: false }, (res) => {
      let text = "";
      res.on("data", (d) => {
        text += d;
      });
      res.on("end", () => resolve({ status: res.statusCode ?? 0, body: JSON.parse(text) }));
    });
    req.on("error", reject);
    if (body !== undefined) req.setHeader("content-length", Buffer.byteLength(body));
    req.end(body);
  });

test("answers Node's own HTTP client", () =>
  withServer(async (s) => {
    assert.deepEqual(await ask(s, "GET", "/status?x=1"), { status: 200, body: { ok: true } });
    assert.deepEqual(await ask(s, "POST", "/echo", JSON.stringify({ a: "ü", n: 2 })), { status: 200, body: { a: "ü", n: 2 } });
    assert.deepEqual(await ask(s, "POST", "/fail", "{}"), {
      status: 409,
      body: { error: "E_CANTMOVE", message: "no", reasons: ["threads"] },
    });
    assert.equal((await ask(s, "GET", "/constructor")).status, 409);
    assert.equal(((await ask(s, "POST", "/echo", "{")).body as { error: string }).error, "E_USAGE");
  }));

test("garbage gets an error or nothing, and the next caller is served", () =>
  withServer(async (s) => {
    for (const bytes of ["\r\n\r\n", "GET\r\n\r\n", "x".repeat(20_000), "POST /echo HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n"]) {
      const text = await new Promise<string>((resolve) => {
        let got = "";
        const c = connect(s, () => c.write(bytes));
        c.on("data", (d) => {
          got += d;
        });
        c.on("close", () => resolve(got));
        c.on("error", () => {});
      });
      assert.match(text, /^HTTP\/1\.1 409 /);
    }
    assert.equal((await ask(s, "GET", "/status")).status, 200);
  }));

test("waits for a body that is not all there", () => {
  const whole = Buffer.from("POST /echo HTTP/1.1\r\nContent-Length: 4\r\n\r\nnull");
  for (let n = 0; n < whole.length; n++) assert.equal(parseRequest(whole.subarray(0, n)), null);
  assert.deepEqual(parseRequest(whole), { route: "POST /echo", body: "null" });
});
