import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { SysError } from "./error.ts";
import { peerCredentials } from "./peercred.unsafe.ts";

test("the kernel says who connected", async () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-"));
  const server = createServer().listen(join(dir, "s"));
  try {
    await once(server, "listening");
    const client = connect(join(dir, "s"));
    const [socket] = (await once(server, "connection")) as [Socket];
    assert.deepEqual(peerCredentials(socket), { pid: process.pid, uid: process.geteuid?.(), gid: process.getegid?.() });
    socket.destroy();
    client.destroy();
    await once(socket, "close");
    assert.throws(
      () => peerCredentials(socket),
      (e) => e instanceof SysError && e.code === "EBADF",
    );
  } finally {
    server.close();
    rmSync(dir, { recursive: true });
  }
});
