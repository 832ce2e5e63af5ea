import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Log, nodeId, TeselaError } from "../base/mod.ts";
import { ALPN, type Channel, channelOver } from "../io/mod.ts";
import { ChannelPeer, type ControlService, serveControl } from "./control.ts";
import { peerDoor } from "./door.ts";
import { listenUnix } from "./listen.ts";
import { noBelonging } from "./test-peers.ts";
import { aRow } from "./test-rows.ts";

const status = {
  cpus: 1.5,
  speed: 10_000,
  load: 0.25,
  memTotal: 2 ** 40,
  memFree: 7,
  memGrowth: 5,
  guests: 2,
  away: 1,
  flags: ["noengine"],
};
const row = aRow({ cpu: 0.5, command: "bc \u2713" });
const log = new Log({ level: "error" });

const nobodyJoins = (): void => assert.fail("nobody joins here");

/** A door as teselad opens it, and a stream to it as the engine passes one on from node 2. */
async function pair(
  service: ControlService,
): Promise<AsyncDisposable & { peer: ChannelPeer; server: Promise<Error | null>; channel: Channel }> {
  const dir = mkdtempSync(join(tmpdir(), "tesela-"));
  const served = Promise.withResolvers<Error | null>();
  const door = peerDoor(
    (channel) => {
      assert.deepEqual(channel.peer, { node: 2, name: "h2", version: "0.1.0" });
      served.resolve(channel.closed);
      serveControl(channel, service);
    },
    nobodyJoins,
    log,
  );
  const listening = await listenUnix(door, join(dir, "peer.sock"), 0o600);
  const socket = connect(join(dir, "peer.sock"));
  await once(socket, "connect");
  socket.write('{"node":2,"name":"h2","version":"0.1.0"}\n');
  const self = { node: nodeId(1), name: "h1", version: "0.1.0" };
  const channel = channelOver({ stream: socket, peer: self, alpn: ALPN.CONTROL, route: "" });
  const peer = new ChannelPeer(channel);
  return {
    peer,
    channel,
    server: served.promise,
    async [Symbol.asyncDispose]() {
      peer.close();
      await listening[Symbol.asyncDispose]();
      rmSync(dir, { recursive: true });
    },
  };
}

const soon = (): AbortSignal => AbortSignal.timeout(5000);

test("status, processes, moves and errors go over a control stream", async () => {
  const asked: unknown[] = [];
  await using p = await pair({
    belonging: noBelonging,
    status: () => status,
    processes: () => Promise.resolve([row]),
    migrate: (ask, caller) => {
      asked.push([ask, caller]);
      if (ask.why) return Promise.resolve({ pid: 7, reasons: ["threads"] });
      return Promise.reject(new TeselaError("E_CANTMOVE", "it may not leave", { reasons: ["sysv_shm"] }));
    },
    ask: (what, body, from) => {
      asked.push([what, body, from]);
      return what === "POST /why" ? Promise.resolve({ said: body }) : Promise.reject(new TeselaError("E_USAGE", "it does not know that"));
    },
  });
  assert.deepEqual(await p.peer.status(soon()), status);
  assert.deepEqual(await p.peer.processes(soon()), [row]);
  const caller = { uid: 0, gid: 5, via: null };
  assert.deepEqual(await p.peer.migrate({ pid: "1:7", target: "2", why: true }, caller), { pid: 7, reasons: ["threads"] });
  await assert.rejects(p.peer.migrate({ pid: "1:7", target: "2" }, caller), (e) => {
    assert.ok(e instanceof TeselaError);
    assert.deepEqual(e.toJSON(), { error: "E_CANTMOVE", message: "it may not leave", reasons: ["sysv_shm"] });
    return true;
  });
  // The caller's node is the one that the certificate proved, not what anybody says.
  assert.deepEqual(asked[0], [
    { pid: "1:7", target: "2", why: true },
    { uid: 0, gid: 5, via: 2 },
  ]);
  assert.deepEqual(await p.peer.status(soon()), status, "the stream goes on after a failure");
  assert.deepEqual(await p.peer.question("POST /why", { pid: "1:7" }, caller), { said: { pid: "1:7" } });
  assert.deepEqual(asked.at(-1), ["POST /why", { pid: "1:7" }, { uid: 0, gid: 5, via: 2 }]);
  await assert.rejects(p.peer.question("POST /unheard", null, caller), (e) => e instanceof TeselaError && e.code === "E_USAGE");
});

test("an answer that does not come, and a stream that ends", async () => {
  await using p = await pair({
    belonging: noBelonging,
    status: () => status,
    processes: () => new Promise(() => undefined),
    migrate: () => new Promise(() => undefined),
    ask: () => new Promise(() => undefined),
  });
  await assert.rejects(p.peer.processes(AbortSignal.timeout(20)), (e) => e instanceof TeselaError && e.code === "E_TIMEOUT");
  const move = p.peer.migrate({ pid: "1:7", target: "2" }, { uid: 0, gid: 0, via: null });
  p.peer.close();
  await assert.rejects(move, (e) => e instanceof TeselaError && e.code === "E_LINK");
});

test("what does not belong on a control stream ends it", async () => {
  await using p = await pair({
    status: () => status,
    processes: () => Promise.resolve([]),
    migrate: () => new Promise(() => undefined),
    ask: () => new Promise(() => undefined),
    belonging: noBelonging,
  });
  p.channel.send("ctlStatus", { seq: 1, ...status });
  const reason = await p.server;
  assert.ok(reason instanceof TeselaError && reason.code === "E_PROTOCOL");
});

test("a peer that does not say who it is gets no channel", async () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-"));
  const door = peerDoor(() => assert.fail("no channel"), nobodyJoins, new Log({ level: "error" }));
  const listening = await listenUnix(door, join(dir, "peer.sock"), 0o600);
  for (const line of ["nonsense\n", '{"join":{"binding":"00","from":"x"}}\n', '{"node":0}\n', "x".repeat(2000)]) {
    const socket = connect(join(dir, "peer.sock"));
    socket.on("error", () => undefined);
    socket.write(line);
    await once(socket, "close");
  }
  await listening[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});
