import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isMainThread, type MessagePort, parentPort, Worker, workerData } from "node:worker_threads";
import { KiB, MiB, TeselaError } from "../base/mod.ts";
import type { Credentials } from "./credentials.ts";
import { channelOver } from "./channel.ts";
import { acceptInThread, PortDoor } from "./thread-door.ts";
import { TlsTransport } from "./tls-transport.ts";
import { channels, type Listener, threads } from "./transport.ts";
import { N1, N2, take } from "./transport-conformance.ts";

const BULK = "tesela-test-bulk/1";
const PLAIN = "tesela-test/1";
const LOOPBACK = "127.0.0.1";
/** Who belongs is let in, however busy the machine. */
const HANDSHAKE_MS = 3000;
const GUARD_MS = 20_000;

interface ThreadData {
  readonly name: string;
  readonly credentials: Credentials;
  readonly door: MessagePort;
}

/** The worker: sends every message back with its own name before it. */
function work({ name, credentials, door }: ThreadData): void {
  acceptInThread(door, { credentials, version: "0.1.0", alpn: [BULK] }, (stream) => {
    const channel = channelOver(stream);
    channel.onMessage((m) => channel.send("probe", null, Buffer.from(`${name} ${stream.route} `), m.payload));
  });
  parentPort?.postMessage("ready");
}

if (!isMainThread) work(workerData as ThreadData);
else await main();

async function main(): Promise<void> {
  const { createCluster, issueNode } = await import("../cluster/mod.ts");
  const { descriptors } = await import("../sys/mod.ts");
  const ca = await createCluster("threads");
  const [own, peer] = [await issueNode(ca, N1, "h1"), await issueNode(ca, N2, "h2")];
  const stranger = await issueNode(await createCluster("threads"), N2, "h2");

  const sockets = (): number =>
    readdirSync("/proc/self/fd").filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:");
      } catch {
        return false;
      }
    }).length;

  async function until(what: string, test: () => boolean): Promise<void> {
    for (const start = performance.now(); !test(); await sleep(10)) assert.ok(performance.now() - start < GUARD_MS, what);
  }

  interface Served extends AsyncDisposable {
    readonly listener: Listener;
    readonly doors: Record<string, PortDoor>;
    readonly workers: Record<string, Worker>;
    readonly plain: string[];
  }
  async function serve(...names: string[]): Promise<Served> {
    const doors: Record<string, PortDoor> = {};
    const workers: Record<string, Worker> = {};
    for (const name of names) {
      const door = new PortDoor(descriptors);
      const data: ThreadData = { name, credentials: own, door: door.port };
      const worker = new Worker(new URL(import.meta.url), { workerData: data, transferList: [door.port] });
      await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
      doors[name] = door;
      workers[name] = worker;
    }
    const plain: string[] = [];
    const transport = new TlsTransport({ credentials: own, version: "0.1.0", host: LOOPBACK, port: 0, handshakeMs: HANDSHAKE_MS });
    const listener = await transport.listen({
      [BULK]: threads((route) => doors[route] ?? null),
      [PLAIN]: channels((c) => plain.push(c.peer.name)),
    });
    return {
      listener,
      doors,
      workers,
      plain,
      async [Symbol.asyncDispose]() {
        await listener[Symbol.asyncDispose]();
        for (const worker of Object.values(workers)) await worker.terminate();
      },
    };
  }
  const dial = (served: Served, route: string, alpn = BULK, credentials = peer) =>
    new TlsTransport({ credentials, version: "0.1.0" }).connect({ node: N1, address: LOOPBACK, port: served.listener.port }, alpn, {
      route,
    });
  const isError = (code: string) => (e: unknown) => e instanceof TeselaError && e.code === code;

  test("connections go to the thread that their route names, beside those that stay", async () => {
    await using served = await serve("red", "blue");
    const [red, blue, here] = [await dial(served, "red"), await dial(served, "blue"), await dial(served, "", PLAIN)];
    assert.equal(red.peer.node, N1);
    for (const [channel, name] of [
      [red, "red"],
      [blue, "blue"],
    ] as const) {
      const answers = take(channel, 3);
      for (const text of ["one", "two"]) channel.send("probe", null, Buffer.from(text));
      const large = Buffer.alloc(3 * MiB + 5 * KiB, name);
      channel.send("probe", null, large);
      const [a, b, c] = (await answers).map((m) => m.payload);
      assert.deepEqual([String(a), String(b)], [`${name} ${name} one`, `${name} ${name} two`]);
      assert.ok(c?.equals(Buffer.concat([Buffer.from(`${name} ${name} `), large])));
    }
    assert.deepEqual(served.plain, ["h2"]);
    for (const channel of [red, blue, here]) {
      channel.close();
      assert.equal(await channel.closed, null);
    }
  });

  test("no descriptor is left behind, by members, strangers, and half-open connections", async () => {
    await using served = await serve("red");
    const before = sockets();
    for (let i = 0; i < 5; i++) {
      const channel = await dial(served, "red");
      channel.close();
      await channel.closed;
      await assert.rejects(dial(served, "red", BULK, { ...peer, cert: stranger.cert, key: stranger.key }), isError("E_IDENTITY"));
      await assert.rejects(dial(served, "nobody"), TeselaError);
    }
    // The beginning of a good hello, then silence: the door's own thread gets nothing of it.
    const idle = connectTcp(served.listener.port, LOOPBACK);
    idle.on("error", () => {});
    idle.write(Buffer.from("16030105c9010005c50303", "hex"));
    await new Promise((resolve) => idle.once("close", resolve));
    await until("all sockets are closed", () => sockets() <= before);
  });

  test("a thread that ends takes its connections with it; later ones are refused, others go on", async () => {
    await using served = await serve("red", "blue");
    const [red, blue] = [await dial(served, "red"), await dial(served, "blue")];
    for (const channel of [red, blue]) channel.onMessage(() => {});
    await served.workers["red"]?.terminate();
    assert.ok(isError("E_LINK")(await red.closed));
    await assert.rejects(dial(served, "red"), TeselaError);
    const answer = take(blue, 1);
    blue.send("probe", null, Buffer.from("still"));
    assert.equal(String((await answer)[0]?.payload), "blue blue still");
    blue.close();
    await blue.closed;
  });
}
