/** Sessions over connections that a relay cuts at every byte, in every way: each message arrives once and in order, or the session ends. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { KiB, MiB, TeselaError } from "../base/mod.ts";
import { createCluster, issueNode } from "../cluster/mod.ts";
import { type Message, codec } from "../wire/mod.ts";
import { CUTS, CuttingRelay, fates } from "./cutting-relay.ts";
import { type Random, SeededRandom } from "./random.ts";
import type { SessionChannel } from "./session-channel.ts";
import { SessionTransport, type SessionOptions } from "./session-transport.ts";
import { firstMessage } from "./session-shake.ts";
import { TcpTransport } from "./tcp-transport.ts";
import { TlsTransport } from "./tls-transport.ts";
import { N1, N2 } from "./transport-conformance.ts";
import { type Channel, channels, type Listener, type PeerAddress, type Transport } from "./transport.ts";

const SEED = Number(process.env["TESELA_SEED"] ?? Math.floor(Math.random() * 1e9));
const ALPN = "tesela-test/1";
const PING_MS = 15;
const QUICK = { alpn: [ALPN], silenceMs: 60, maxPauseMs: 2 };

/** A session dialled by node 2 through a relay, and its other end on node 1. */
class Line implements AsyncDisposable {
  readonly relay: CuttingRelay;
  readonly near: Channel;
  readonly far: Channel;
  readonly address: PeerAddress;
  /** All sessions that node 1 has seen. */
  readonly opened: Channel[];
  readonly dialler: Transport;
  private readonly listener: Listener;

  private constructor(parts: Pick<Line, "relay" | "near" | "far" | "address" | "opened" | "dialler"> & { listener: Listener }) {
    this.relay = parts.relay;
    this.near = parts.near;
    this.far = parts.far;
    this.address = parts.address;
    this.opened = parts.opened;
    this.dialler = parts.dialler;
    this.listener = parts.listener;
  }

  static async open(options: Partial<SessionOptions> = {}, make = tcp): Promise<Line> {
    const [one, two] = make().map((t): Transport => new SessionTransport(t, { ...QUICK, ...options })) as [Transport, Transport];
    const opened: Channel[] = [];
    const listener = await one.listen({ [ALPN]: channels((c) => opened.push(c)) });
    const relay = await CuttingRelay.to(listener.port);
    const address = { node: N1, address: "127.0.0.1", port: relay.port };
    const near = await two.connect(address, ALPN);
    return new Line({ relay, near, far: opened[0] as Channel, address, opened, dialler: two, listener });
  }

  /** The process there ends, and what it knows with it. */
  async die(): Promise<void> {
    await this.listener[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const channel of [this.near, ...this.opened]) channel.close();
    await this.relay[Symbol.asyncDispose]();
    await this.listener[Symbol.asyncDispose]();
  }
}

const tcp = (): Transport[] => [new TcpTransport(N1, PING_MS), new TcpTransport(N2, PING_MS)];

/** What is sent as number `n`: its length and bytes follow from it. */
function nth(n: number, largest: number): Buffer {
  const random = new SeededRandom(n);
  const bytes = Buffer.alloc(8 + (random.int(8) === 0 ? random.int(largest) : random.int(200)), n);
  bytes.writeUIntLE(n, 0, 6);
  return bytes;
}

/**
 * Messages on their way at most. All of them are sent again over each new connection, and the end that dials comes second there: where more
 * wait, most of what a connection carries before its cut is one end's, and the machine is busy with what no connection carries.
 */
const MOST_AHEAD = 8;

/** Sends messages one after the other; `stop` says how many there were. */
function sender(channel: Channel, random: Random, largest: number, arrived: () => number): { stop(): Promise<number> } {
  let n = 0;
  let over = false;
  const run = async (): Promise<number> => {
    while (!over) {
      let more = true;
      for (let burst = random.int(20); burst >= 0 && n - arrived() < MOST_AHEAD; burst--)
        more = channel.send("probe", null, nth(n++, largest));
      if (more) await sleep(random.int(3));
      else await channel.drained();
    }
    return n;
  };
  const done = run();
  return {
    stop() {
      over = true;
      return done;
    },
  };
}

/** Checks each message as it comes; `all` resolves when so many have come. */
function receiver(channel: Channel, largest: number): { readonly got: number; all(count: number): Promise<void> } {
  let got = 0;
  let wanted = Number.POSITIVE_INFINITY;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  channel.onMessage((m: Message) => {
    if (!m.payload.equals(nth(got, largest))) reject(new Error(`message ${m.payload.readUIntLE(0, 6)} came where ${got} belongs`));
    if (++got === wanted) resolve();
  });
  void channel.closed.then((reason) => reject(reason ?? new Error("it was closed")));
  promise.catch(() => {});
  return {
    get got() {
      return got;
    },
    all(count) {
      wanted = count;
      if (got >= wanted) resolve();
      return promise;
    },
  };
}

async function survives(line: Line, cuts: number, connectionBytes: number, largest: number): Promise<string> {
  const random = new SeededRandom(SEED);
  const receivers = [line.far, line.near].map((channel) => receiver(channel, largest));
  const senders = [line.near, line.far].map((channel, i) => sender(channel, random, largest, () => receivers[i]?.got ?? 0));
  line.relay.fate = fates(random, connectionBytes);
  line.relay.cutAll("reset");
  while (line.relay.cuts < cuts && line.near.cutMs !== undefined) {
    await Promise.race([sleep(5), line.near.closed.then(assert.ifError), line.far.closed.then(assert.ifError)]);
  }
  line.relay.fate = null;
  line.relay.cutAll("swallow");
  const sent = await Promise.all(senders.map((s) => s.stop()));
  await Promise.all(receivers.map((r, i) => r.all(sent[i] as number)));
  // Nothing comes twice behind the last one either.
  await sleep(20);
  assert.deepEqual(
    receivers.map((r) => r.got),
    sent,
  );
  return `seed ${SEED}: ${line.relay.cuts} cuts, ${sent[0]} and ${sent[1]} messages`;
}

/** TESELA_CUTS=20000 for a long run. */
const CUTS_ALL = Number(process.env["TESELA_CUTS"] ?? 1000);

test(`each message once and in order over ${CUTS_ALL} connections that are cut at any byte`, {
  timeout: 60_000 + CUTS_ALL * 100,
}, async (t) => {
  await using line = await Line.open();
  t.diagnostic(await survives(line, CUTS_ALL, 6 * KiB, 4 * KiB));
});

test("large messages in pieces, cut in the middle", { timeout: 120_000 }, async (t) => {
  await using line = await Line.open();
  t.diagnostic(await survives(line, 100, 2 * MiB, 600 * KiB));
});

test("the same over TLS", { timeout: 120_000 }, async (t) => {
  const ca = await createCluster("sessions");
  const [one, two] = [await issueNode(ca, N1, "h1"), await issueNode(ca, N2, "h2")];
  const make = (): Transport[] =>
    [one, two].map((credentials) => new TlsTransport({ credentials, version: "test", host: "127.0.0.1", port: 0, pingMs: PING_MS }));
  await using line = await Line.open({ silenceMs: 200 }, make);
  t.diagnostic(await survives(line, 60, 30 * KiB, 4 * KiB));
});

const codeOf = (e: unknown): string => (e instanceof TeselaError ? e.code : String(e));

test("beyond the limit both ends close with E_LINK, and say what happened", { timeout: 30_000 }, async () => {
  await using line = await Line.open({ limitMs: 1500 });
  for (const channel of [line.near, line.far]) channel.onMessage(() => {});
  line.relay.away = "swallows";
  line.relay.cutAll("swallow");
  line.near.send("probe", null);
  const start = performance.now();
  while (line.near.cutMs === null || line.far.cutMs === null) await sleep(1);
  for (const channel of [line.near, line.far]) {
    const reason = await channel.closed;
    assert.equal(codeOf(reason), "E_LINK");
    assert.match(String(reason), /nothing was heard for .*it did not come back within 1.5 s/);
    assert.equal(channel.send("probe", null), false);
    await assert.rejects(channel.drained());
    assert.equal(channel.cutMs, null);
  }
  assert.ok(performance.now() - start >= 1500);
});

test("an end that does not know the session any more says so at once", { timeout: 30_000 }, async () => {
  await using line = await Line.open();
  await using other = await Line.open();
  // The same address leads to another process.
  const { port } = line.relay;
  await line.relay[Symbol.asyncDispose]();
  await using _moved = await CuttingRelay.to(other.relay.port, port);
  assert.match(String(await line.near.closed), /knows nothing of it any more/);
});

test("where nobody listens any more, the process has ended", { timeout: 30_000 }, async () => {
  await using line = await Line.open();
  await line.relay[Symbol.asyncDispose]();
  assert.match(String(await line.near.closed), /nobody listens there any more/);
});

test("a dialler that begins anew ends what it began before", { timeout: 30_000 }, async () => {
  await using line = await Line.open();
  const again = await line.dialler.connect(line.address, ALPN);
  assert.match(String(await line.far.closed), /has begun anew/);
  // Its former self is told.
  assert.equal(codeOf(await line.near.closed), "E_LINK");
  again.close();
});

test("who has said goodbye is not waited for", { timeout: 30_000 }, async () => {
  // One that is taken for cut is not told of it.
  await using line = await Line.open({ silenceMs: 20_000 });
  line.far.onMessage(() => {});
  line.near.send("probe", null, Buffer.alloc(1 * MiB));
  line.near.close();
  assert.equal(await line.far.closed, null);
});

test("what is sent while it is cut is kept, up to a limit", { timeout: 30_000 }, async () => {
  await using line = await Line.open({ maxBytes: 4 * MiB });
  const got: number[] = [];
  line.far.onMessage((m) => got.push(m.payload[0] as number));
  line.relay.away = "refuses";
  line.relay.cutAll("reset");
  while (line.near.cutMs === null) await sleep(1);
  for (let i = 0; i < 3; i++) assert.equal(line.near.send("probe", null, Buffer.alloc(1 * MiB, i)), false);
  assert.ok(line.near.queued >= 3 * MiB);
  let drained = false;
  const waits = line.near.drained().then(() => (drained = true));
  await sleep(50);
  assert.equal(drained, false);
  line.relay.away = null;
  await waits;
  while (got.length < 3) await sleep(1);
  assert.deepEqual(got, [0, 1, 2]);
  line.relay.away = "refuses";
  line.relay.cutAll("reset");
  while (line.near.cutMs === null) await sleep(1);
  for (let i = 0; i < 4; i++) line.near.send("probe", null, Buffer.alloc(1 * MiB, i));
  assert.match(String(await line.near.closed), /leaves more than 4 MiB waiting/);
});

test("a cut in every way while nothing is under way is healed", { timeout: 30_000 }, async () => {
  await using line = await Line.open();
  const got: string[] = [];
  line.far.onMessage((m) => got.push(m.payload.toString()));
  line.near.onMessage(() => {});
  for (const [i, cut] of CUTS.entries()) {
    line.relay.cutAll(cut);
    line.near.send("probe", null, Buffer.from(cut));
    while (got.length <= i) await sleep(1);
  }
  assert.deepEqual(got, CUTS);
});

test("while it is paused it keeps what comes, over cuts too", { timeout: 30_000 }, async () => {
  await using line = await Line.open();
  const got: number[] = [];
  line.far.pause();
  line.far.onMessage((m) => {
    got.push(m.payload[0] as number);
    if (got.length === 2) line.far.pause();
  });
  for (let i = 0; i < 3; i++) line.near.send("probe", null, Buffer.from([i]));
  const far = line.far as SessionChannel;
  while (far.received < 3) await sleep(1);
  line.relay.cutAll("reset");
  line.near.send("probe", null, Buffer.from([3]));
  while (far.received < 4) await sleep(1);
  assert.deepEqual(got, []);
  line.far.resume();
  assert.deepEqual(got, [0, 1]);
  line.far.resume();
  while (got.length < 4) await sleep(1);
  assert.deepEqual(got, [0, 1, 2, 3]);
});

test("a connection that was overtaken, and numbers that cannot be, are refused", { timeout: 30_000 }, async () => {
  const [one, two] = tcp() as [Transport, Transport];
  const ends: Channel[] = [];
  const listener = await new SessionTransport(one, QUICK).listen({ [ALPN]: channels((c) => ends.push(c)) });
  const address = { node: N1, address: "127.0.0.1", port: listener.port };
  const session = "0123456789abcdef";
  const knock = async (head: { attempt: number; received: number; fresh: boolean }): Promise<Channel> => {
    const connection = await two.connect(address, ALPN);
    connection.send("session", { session, ...head });
    await firstMessage(connection, "resumed", AbortSignal.timeout(5_000));
    connection.resume();
    return connection;
  };
  await assert.rejects(knock({ attempt: 0, received: 0, fresh: false }), { code: "E_GONE" });
  await knock({ attempt: 0, received: 0, fresh: true });
  const second = await knock({ attempt: 2, received: 0, fresh: false });
  await assert.rejects(knock({ attempt: 1, received: 0, fresh: false }), { code: "E_LINK" });
  assert.equal(await Promise.race([second.closed, "open"]), "open");
  assert.equal(ends.length, 1);
  const before = await two.connect(address, ALPN);
  before.sendFrame(codec.alloc("probe", null, 1));
  before.onMessage(() => {});
  assert.equal(codeOf(await before.closed), "E_PROTOCOL");
  second.send("ack", { received: 7 });
  assert.equal(codeOf(await ends[0]?.closed), "E_PROTOCOL");
  await listener[Symbol.asyncDispose]();
});
