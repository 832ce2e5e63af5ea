/** What every Transport does: one suite for all implementations, run from their own test files. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { KiB, MiB, type NodeId, nodeId, TeselaError } from "../base/mod.ts";
import { codec, MAX_PAYLOAD, type Message } from "../wire/mod.ts";
import { SessionTransport } from "./session-transport.ts";
import {
  type Acceptor,
  type Channel,
  channels,
  type Listener,
  type PeerAddress,
  type PeerStream,
  streams,
  type Transport,
} from "./transport.ts";

/** Differences from a normal node. */
export interface Oddity {
  readonly protocol?: number;
  /** The number it says in its hello, against its certificate. */
  readonly claims?: NodeId;
  readonly pingMs?: number;
  readonly deadMs?: number;
}

/** A network with nodes 1 and 2, made anew for each test. */
export interface World extends AsyncDisposable {
  transport(node: NodeId, oddity?: Oddity): Transport;
  /** Where the others reach what `listener` serves on `node`; `as` another node's number to lie. */
  address(node: NodeId, listener: Listener, as?: NodeId): PeerAddress;
  /** An address of node 1 where nobody listens. */
  readonly nowhere: PeerAddress;
  /** Nothing passes any more, and nobody is told. */
  freeze(): void;
}

/** What the suite does over sessions is to be the same as without. */
export function withSessions(transport: Transport, deadMs?: number): Transport {
  return new SessionTransport(transport, { alpn: [ALPN], limitMs: LIMIT_MS, ...(deadMs === undefined ? {} : { silenceMs: deadMs }) });
}
const LIMIT_MS = 300;

const ALPN = "tesela-test/1";
const RAW = "tesela-test-raw/1";
export const N1 = nodeId(1);
export const N2 = nodeId(2);

const codeOf = (code: string) => (e: unknown) => {
  assert.ok(e instanceof TeselaError, `want ${code}, got ${String(e)}`);
  assert.equal(e.code, code, e.message);
  return true;
};

/** The next `n` messages, payloads copied. */
export function take(channel: Channel, n: number): Promise<Message[]> {
  return new Promise((resolve, reject) => {
    const got: Message[] = [];
    channel.onMessage((m) => {
      got.push({ ...m, payload: Buffer.from(m.payload) } as Message);
      if (got.length === n) resolve(got);
    });
    void channel.closed.then((reason) => reject(reason ?? new Error("the channel was closed")));
  });
}

/** A connected pair: `near` dialled from node 2, `far` accepted by node 1. */
export async function link(world: World, oddity: Oddity = {}): Promise<{ near: Channel; far: Channel; listener: Listener }> {
  const far = Promise.withResolvers<Channel>();
  const listener = await world.transport(N1, oddity).listen({ [ALPN]: channels(far.resolve) });
  const near = await world.transport(N2, oddity).connect(world.address(N1, listener), ALPN);
  return { near, far: await far.promise, listener };
}

async function rawLink(
  world: World,
  onFar: (far: PeerStream) => void = () => {},
): Promise<{ near: PeerStream; far: PeerStream; listener: Listener }> {
  const far = Promise.withResolvers<PeerStream>();
  const acceptor: Acceptor = streams((s) => {
    onFar(s);
    far.resolve(s);
  });
  const listener = await world.transport(N1).listen({ [RAW]: acceptor });
  const near = await world.transport(N2).connectRaw(world.address(N1, listener), RAW, { route: "t7" });
  return { near, far: await far.promise, listener };
}

export function transportConformance(name: string, makeWorld: () => Promise<World>): void {
  const check = (what: string, body: (world: World) => Promise<void>): void => {
    test(`${name}: ${what}`, { timeout: 30_000 }, async () => {
      await using world = await makeWorld();
      await body(world);
    });
  };

  check("both ends learn who the other is", async (world) => {
    const { near, far } = await link(world);
    assert.deepEqual([near.peer.node, near.peer.name, near.alpn], [N1, "h1", ALPN]);
    assert.deepEqual([far.peer.node, far.peer.name, far.alpn], [N2, "h2", ALPN]);
    assert.match(near.peer.version, /^\d/);
  });

  check("messages of all sizes arrive whole and in order", async (world) => {
    const { near, far } = await link(world);
    const sizes = [0, 1, 7, 8, 9, 100, 4 * KiB, 16 * KiB - 8, 16 * KiB - 7, 16 * KiB, 64 * KiB + 1, 1 * MiB, 5, MAX_PAYLOAD, 3];
    const received = take(far, sizes.length);
    for (const [i, size] of sizes.entries()) {
      if (!near.send("probe", null, Buffer.alloc(size, i + 1))) await near.drained();
    }
    for (const [i, m] of (await received).entries()) {
      assert.equal(m.type, "probe");
      assert.ok(m.payload.equals(Buffer.alloc(sizes[i] as number, i + 1)), `message ${i} of ${sizes[i]} bytes`);
    }
  });

  check("heads, payloads in parts and frames filled in place arrive as sent", async (world) => {
    const { near, far } = await link(world);
    const received = take(near, 3);
    far.send("signal", { ticket: 7, seq: 2 ** 32 - 1 }, Buffer.from("si"), Buffer.alloc(0), Buffer.from("ginfo"));
    const frame = codec.alloc("probe", null, 5);
    frame.write("probe", frame.length - 5);
    far.sendFrame(frame);
    far.send("probe", null, Buffer.alloc(20 * KiB, 1), Buffer.alloc(20 * KiB, 2));
    const [a, b, c] = (await received) as [Message, Message, Message];
    assert.deepEqual([a.type, a.head, a.payload.toString()], ["signal", { ticket: 7, seq: 2 ** 32 - 1 }, "siginfo"]);
    assert.equal(b.payload.toString(), "probe");
    assert.ok(c.payload.equals(Buffer.concat([Buffer.alloc(20 * KiB, 1), Buffer.alloc(20 * KiB, 2)])));
  });

  check("many small messages in one turn, both ways", async (world) => {
    const { near, far } = await link(world);
    const count = 5000;
    const [atFar, atNear] = [take(far, count), take(near, count)];
    for (let i = 0; i < count; i++) {
      for (const channel of [near, far]) channel.send("pause", { ticket: i, paused: i % 2 === 0 }, Buffer.from(String(i)));
    }
    for (const got of [await atFar, await atNear]) {
      assert.deepEqual(
        got.map((m) => m.payload.toString()),
        Array.from({ length: count }, (_, i) => String(i)),
      );
    }
  });

  check("messages wait for the handler, and for resume", async (world) => {
    const { near, far } = await link(world);
    for (let i = 0; i < 10; i++) near.send("probe", null, Buffer.from([i]));
    await near.drained();
    const got: number[] = [];
    far.onMessage((m) => {
      got.push(m.payload[0] as number);
      if (got.length === 3) far.pause();
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(got, [0, 1, 2]);
    const rest = Promise.withResolvers<void>();
    far.onMessage((m) => {
      got.push(m.payload[0] as number);
      if (got.length === 10) rest.resolve();
    });
    far.resume();
    await rest.promise;
    assert.deepEqual(got, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  check("a slow reader is felt as back pressure, and nothing is lost", async (world) => {
    const { near, far } = await link(world);
    const total = 96;
    let got = 0;
    const all = Promise.withResolvers<void>();
    far.onMessage((m) => {
      assert.equal(m.payload[0], got & 255);
      far.release(m.payload);
      if (++got === total) all.resolve();
    });
    far.pause();
    let sent = 0;
    let stuck = false;
    while (sent < total && !stuck) {
      const more = near.send("probe", null, Buffer.alloc(1 * MiB, sent++));
      if (!more) stuck = !(await Promise.race([near.drained().then(() => true), new Promise((r) => setTimeout(r, 300, false))]));
    }
    assert.ok(stuck, "96 MiB went into a reader that reads nothing");
    assert.ok(near.queued > 0);
    assert.equal(got, 0);
    far.resume();
    await near.drained();
    assert.equal(near.queued, 0);
    while (sent < total) if (!near.send("probe", null, Buffer.alloc(1 * MiB, sent++))) await near.drained();
    await all.promise;
  });

  check("released memory is used again without mixing frames up", async (world) => {
    const { near, far } = await link(world);
    const done = Promise.withResolvers<void>();
    let at = 0;
    far.onMessage((m) => {
      assert.ok(
        m.payload.every((b) => b === at % 251),
        `frame ${at}`,
      );
      far.release(m.payload);
      if (++at === 60) done.resolve();
    });
    void far.closed.then((reason) => reason && done.reject(reason));
    for (let i = 0; i < 60; i++) if (!near.send("probe", null, Buffer.alloc(200 * KiB + i * 7919, i % 251))) await near.drained();
    await done.promise;
  });

  check("a close in good order is null at both ends, after what was sent", async (world) => {
    const { near, far } = await link(world);
    const received = take(far, 2);
    near.send("probe", null, Buffer.alloc(3 * MiB, 1));
    near.send("probe", null, Buffer.from("last"));
    near.close();
    near.close(new Error("again"));
    assert.equal(await near.closed, null);
    assert.equal((await received)[1]?.payload.toString(), "last");
    assert.equal(await far.closed, null);
    assert.equal(near.send("probe", null, Buffer.alloc(1)), false);
    await assert.rejects(near.drained(), codeOf("E_LINK"));
  });

  check("a close for a reason tells the peer the reason", async (world) => {
    const { near, far } = await link(world);
    far.onMessage(() => {});
    near.close(new TeselaError("E_CANTMOVE", "not now", { reasons: ["sysv_shm"], pid: 4711 }));
    const reason = await far.closed;
    assert.ok(reason instanceof TeselaError);
    assert.deepEqual(reason.toJSON(), { error: "E_CANTMOVE", message: "not now", reasons: ["sysv_shm"], pid: 4711 });
  });

  check("a handler that throws closes the channel with what it threw", async (world) => {
    const { near, far } = await link(world);
    far.onMessage(() => {
      throw new TeselaError("E_GONE", "no such guest");
    });
    near.onMessage(() => {});
    near.send("probe", null);
    for (const channel of [far, near]) assert.ok(codeOf("E_GONE")(await channel.closed));
  });

  check("frames that break the protocol close the channel with E_PROTOCOL at both ends", async (world) => {
    for (const bad of [Buffer.from("ffffffff0a000000", "hex"), Buffer.from("04000000fe000000", "hex"), Buffer.alloc(64, 0xa5)]) {
      const { near, far, listener } = await link(world);
      for (const channel of [near, far]) channel.onMessage(() => {});
      near.sendFrame(bad);
      assert.ok(codeOf("E_PROTOCOL")(await far.closed));
      assert.ok(codeOf("E_PROTOCOL")(await near.closed));
      await listener[Symbol.asyncDispose]();
    }
  });

  check("round trips are measured", async (world) => {
    const { near, far } = await link(world, { pingMs: 20 });
    assert.equal(near.rtt, undefined);
    const began = performance.now();
    for (const channel of [near, far]) channel.onMessage(() => {});
    for (const channel of [near, far]) {
      while (channel.rtt === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
      assert.ok(channel.rtt >= 0 && channel.rtt <= performance.now() - began, `rtt ${channel.rtt}`);
    }
  });

  check("a peer that falls silent is given up with E_LINK", async (world) => {
    const { near, far } = await link(world, { pingMs: 20, deadMs: 200 });
    for (const channel of [near, far]) channel.onMessage(() => {});
    await new Promise((resolve) => setTimeout(resolve, 400));
    assert.equal(await Promise.race([near.closed, Promise.resolve("open")]), "open");
    world.freeze();
    for (const channel of [near, far]) assert.ok(codeOf("E_LINK")(await channel.closed));
  });

  check("a peer that is only paused is not given up", async (world) => {
    const { near, far } = await link(world, { pingMs: 20, deadMs: 200 });
    near.onMessage(() => {});
    far.onMessage(() => {});
    far.pause();
    await new Promise((resolve) => setTimeout(resolve, 600));
    for (const channel of [near, far]) assert.equal(await Promise.race([channel.closed, Promise.resolve("open")]), "open");
  });

  check("raw streams carry bytes both ways, also those sent with the hello", async (world) => {
    const { near, far } = await rawLink(world, (s) => s.stream.write("hello from node 1;"));
    assert.deepEqual([near.peer.node, far.peer.node, far.alpn, far.route], [N1, N2, RAW, "t7"]);
    near.stream.end("and from node 2");
    far.stream.end("bye");
    const read = async (s: PeerStream) => Buffer.concat(await s.stream.toArray()).toString();
    assert.deepEqual(await Promise.all([read(near), read(far)]), ["hello from node 1;bye", "and from node 2"]);
  });

  check("a raw stream that its peer destroys ends", async (world) => {
    const { near, far } = await rawLink(world);
    const ended = once(near.stream, "close");
    near.stream.on("error", () => {});
    near.stream.resume();
    far.stream.destroy();
    await ended;
  });

  check("nobody there: E_NODE_DOWN", async (world) => {
    await assert.rejects(world.transport(N2).connect(world.nowhere, ALPN), codeOf("E_NODE_DOWN"));
  });

  check("an ALPN that is not served: E_REFUSED", async (world) => {
    const listener = await world.transport(N1).listen({ [ALPN]: channels(() => {}) });
    await assert.rejects(world.transport(N2).connect(world.address(N1, listener), RAW), codeOf("E_REFUSED"));
  });

  check("another node answers: E_IDENTITY", async (world) => {
    const listener = await world.transport(N1).listen({ [ALPN]: channels(() => {}) });
    await assert.rejects(world.transport(N2).connect(world.address(N1, listener, nodeId(3)), ALPN), codeOf("E_IDENTITY"));
  });

  check("a hello that contradicts the certificate: E_IDENTITY, whoever lies", async (world) => {
    const opened: Channel[] = [];
    const honest = await world.transport(N1).listen({ [ALPN]: channels((c) => opened.push(c)) });
    // The honest side may have said hello before it read the lie: then the liar learns it from the channel.
    const lie = world.transport(N2, { claims: nodeId(9) }).connect(world.address(N1, honest), ALPN);
    const told = await lie.then(
      (channel) => {
        channel.onMessage(() => {});
        return channel.closed;
      },
      (e: unknown) => e,
    );
    assert.ok(codeOf("E_IDENTITY")(told));
    assert.equal(opened.length, 0);
    await honest[Symbol.asyncDispose]();
    const liar = await world.transport(N1, { claims: nodeId(9) }).listen({ [ALPN]: channels(() => {}) });
    await assert.rejects(world.transport(N2).connect(world.address(N1, liar), ALPN), codeOf("E_IDENTITY"));
  });

  check("another protocol version: E_VERSION that names both", async (world) => {
    const opened: Channel[] = [];
    const listener = await world.transport(N1).listen({ [ALPN]: channels((c) => opened.push(c)) });
    const connecting = world.transport(N2, { protocol: 99 }).connect(world.address(N1, listener), ALPN);
    await assert.rejects(
      connecting,
      (e: Error) => codeOf("E_VERSION")(e) && /99/.test(e.message) && /protocol 1\b|speaks 1\b/.test(e.message),
    );
    assert.equal(opened.length, 0);
  });

  check("connecting can be aborted and times out", async (world) => {
    const listener = await world.transport(N1).listen({ [ALPN]: channels(() => {}) });
    const address = world.address(N1, listener);
    const reason = new Error("changed my mind");
    await assert.rejects(world.transport(N2).connect(address, ALPN, { signal: AbortSignal.abort(reason) }), reason);
    world.freeze();
    const abort = new AbortController();
    const connecting = world.transport(N2).connect(address, ALPN, { signal: abort.signal });
    setTimeout(() => abort.abort(reason), 50);
    await assert.rejects(connecting, reason);
    await assert.rejects(world.transport(N2).connect(address, ALPN, { timeoutMs: 100 }), codeOf("E_TIMEOUT"));
  });
}
