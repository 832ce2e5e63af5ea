/** A node of the cluster that sends what it should not: it gets an error, and the processes of others go on. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { TeselaError, toTeselaError } from "../base/mod.ts";
import { decodeImage, encodeImage, MM_FIELDS, packRuns, SKELETON_BASE, type ThreadImage, type Image, type Vma } from "../image/mod.ts";
import { ALPN, type Channel } from "../io/mod.ts";
import { Asks } from "./asks.ts";
import { Inbox } from "./carry.ts";
import { readNodeFacts } from "./node-facts.ts";
import { TestNodes, TestProgram } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const STRANGER = 3;
const PATIENCE_MS = 20_000;
const SIGTERM = 15;

const image = (over: Partial<Image> = {}): Buffer =>
  encodeImage({
    pid: 7,
    vmas: [{ start: 0x400000n, end: 0x402000n, prot: 3, growsDown: false, backing: { kind: "anon" } }],
    objects: [],
    vdso: null,
    mm: Object.fromEntries(MM_FIELDS.map((f) => [f, f === "endCode" ? 0x401000n : 0x400000n])) as never,
    sigactions: Buffer.alloc(64 * 32),
    pending: [],
    threads: [
      {
        tid: 7,
        regs: Buffer.alloc(216, 0xff),
        xstate: Buffer.alloc(576),
        sigmask: 0n,
        altStack: { sp: 0n, flags: 2, size: 0n },
        robustList: 0n,
        clearTid: 0n,
        rseq: null,
        pending: [],
        restart: null,
        written: null,
        waitEnd: null,
        position: null,
        cpuUsed: { user: 0, system: 0 },
      },
    ],
    signalsAtHome: false,
    limits: { stack: [1n << 20n, 1n << 20n], data: [1n << 40n, 1n << 40n], as: [1n << 46n, 1n << 46n] },
    cpuUsed: { user: 0, system: 0 },
    clocks: { monotonic: 0n, boot: 0n },
    barriers: 0,
    nice: 0,
    ids: { uid: 0, euid: 0, gid: 0, egid: 0 },
    ...over,
  });

/** Offers a process to node 2, up to the image, with what goes before that; `act` does the rest. @returns the error that ends it */
async function carried(
  n: TestNodes,
  bytes: Buffer,
  act: (inbox: Inbox) => Promise<void>,
  over: object = {},
  first: (channel: Channel) => void = () => {},
): Promise<TeselaError> {
  const to = n.addresses[1];
  assert.ok(to);
  const channel = await n.node(STRANGER).transport.connect(to, ALPN.BULK);
  const inbox = new Inbox(channel);
  const facts = readNodeFacts(STRANGER);
  try {
    const offer = { ticket: 9, home: STRANGER, pid: 7, vdso: null, boot: facts.boot, cpu: [...facts.cpu], bytes: 0, files: [], ...over };
    channel.send("offer", offer);
    await inbox.next("the offer", PATIENCE_MS, "want");
    first(channel);
    channel.send("image", { huge: [] }, bytes);
    await inbox.next("the image", PATIENCE_MS, "full");
    await act(inbox);
    await inbox.next("the pages", PATIENCE_MS, "ready");
    return new TeselaError("E_INTERNAL", "it was taken");
  } catch (e) {
    return toTeselaError(e);
  } finally {
    channel.close();
  }
}

/** Processes of this one, dead ones left out. */
const children = (): number =>
  readFileSync(`/proc/self/task/${process.pid}/children`, "utf8")
    .trim()
    .split(" ")
    .filter((pid) => pid !== "" && !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))).length;

const none = async (): Promise<void> => {};
const pages =
  (addr: bigint, bytes: number) =>
  async ({ channel }: Inbox): Promise<void> => {
    channel.send("pages", { runs: 1 }, packRuns([{ addr, pages: 1 }]), Buffer.alloc(bytes, 0x90));
    channel.send("end", { pages: bytes });
  };
const end = async ({ channel }: Inbox): Promise<void> => void channel.send("end", { pages: 0 });

test("a host takes no garbage, and its other guests do not notice", { skip, timeout: 60_000 }, async () => {
  await using n = await TestNodes.start(3);
  using busy = await TestProgram.start(n.tracees, program("busy"), "2000");
  await n.home.migrate(busy.pid, 2);
  assert.equal((await carried(n, Buffer.alloc(100, 0x9f), none)).code, "E_PROTOCOL");
  assert.equal((await carried(n, image({ threads: [] }), end)).code, "E_PROTOCOL");
  const thread = decodeImage(image()).threads[0] as ThreadImage;
  const short = image({ threads: [{ ...thread, xstate: Buffer.alloc(64, 0xff) }] });
  assert.match((await carried(n, short, end)).message, /extended registers of 64 bytes/);
  assert.match((await carried(n, image(), end)).message, /ptrace/, "registers that no thread can have");
  assert.equal((await carried(n, image(), pages(0x400000n, 4095))).code, "E_PROTOCOL");
  // Over the code that sets the guest up with the host's rights.
  assert.match((await carried(n, image(), pages(SKELETON_BASE, 4096))).message, /own areas/);
  const low = { start: SKELETON_BASE, end: SKELETON_BASE + 0x1000n, prot: 7, growsDown: false, backing: { kind: "anon" as const } };
  assert.equal((await carried(n, image({ vmas: [low] }), none)).code, "E_CANTMOVE");
  // Where the kernel's null pointers would point.
  const lowest = { ...low, start: 0x1000n, end: 0x2000n };
  assert.equal((await carried(n, image({ vmas: [lowest] }), none)).code, "E_CANTMOVE");
  const mm = Object.fromEntries(MM_FIELDS.map((f) => [f, f === "startBrk" ? 0x1000n : 0x400000n])) as never;
  assert.equal((await carried(n, image({ mm }), none)).code, "E_CANTMOVE");
  for (const [start, end] of [
    [0x7fff_ffff_e000n, 0x8000_0000_0000n],
    [0xffff_8000_0000_0000n, 0xffff_8000_0000_1000n],
    [0x400001n, 0x401001n],
    [0x401000n, 0x400000n],
  ] as const) {
    assert.equal((await carried(n, image({ vmas: [{ ...low, start, end }] }), none)).code, "E_PROTOCOL");
  }
  const twice = { ...low, start: 0x400000n, end: 0x402000n };
  assert.equal((await carried(n, image({ vmas: [twice, { ...twice, start: 0x401000n }] }), none)).code, "E_PROTOCOL", "one over the other");
  const piece = (name: string, size: number, at: number) => (channel: Channel) => {
    channel.send("shared", { name, size, at }, Buffer.alloc(4096, 0x90));
  };
  const area = (object: string, page: number): Vma => {
    const start = BigInt(0x400000 + page * 4096);
    return { start, end: start + 4096n, prot: 3, growsDown: false, backing: { kind: "shared", object, offset: 0n, writable: true } };
  };
  const shows = (name: string, size: number): Partial<Image> => ({ vmas: [area(name, 0)], objects: [{ name, size }] });
  const group = { group: "g" };
  assert.equal((await carried(n, image(), end, {}, piece("a", 4096, 0))).code, "E_PROTOCOL", "it comes alone");
  assert.equal((await carried(n, image(shows("a", 4096)), end)).code, "E_PROTOCOL", "it comes alone");
  assert.equal((await carried(n, image(), end, group, piece("a", 4096, 4096))).code, "E_PROTOCOL", "behind its end");
  assert.equal((await carried(n, image(), end, group, piece("a", 4095, 0))).code, "E_PROTOCOL", "beyond its end");
  assert.equal((await carried(n, image(shows("a", 8192)), end, group, piece("a", 4096, 0))).code, "E_PROTOCOL", "of two sizes");
  const many = Array.from({ length: 257 }, (_, i) => ({ name: `a${i}`, size: 4096 }));
  const all = { vmas: many.map((o, i) => area(o.name, i)), objects: many };
  assert.equal((await carried(n, image(all), end, group)).code, "E_PROTOCOL", "too many");
  const before = children();
  for (const pid of [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
    assert.equal((await carried(n, image({ pid }), none)).code, "E_REFUSED", `PID ${pid}`);
  }
  for (let waited = 0; children() > before && waited < PATIENCE_MS; waited++) await sleep(1);
  assert.ok(children() <= before, "no namespace stays behind without a process");

  const to = n.addresses[1];
  assert.ok(to);
  const link = async (act: (channel: Channel) => void): Promise<void> => {
    const channel = await n.node(STRANGER).transport.connect(to, ALPN.ENGINE);
    channel.onMessage(() => {});
    act(channel);
    await sleep(20);
    channel.close();
  };
  await link((c) => c.send("reply", null, Buffer.alloc(3)));
  await link((c) => c.send("call", null, Buffer.alloc(3)));
  await link((c) => c.send("signal", { ticket: 1, seq: 1 }, Buffer.alloc(3)));
  await link((c) => c.send("file", { hash: "../x", size: 5, last: true }, Buffer.alloc(5)));
  await link((c) => c.send("file", { hash: "a".repeat(64), size: 5, last: true }, Buffer.alloc(5)));
  await link((c) => c.send("answer", { id: 1, ok: false, value: null }));
  await link((c) => {
    for (const row of n.nodes) c.send("drop", { ticket: row.id });
  });
  const asks = await n.node(STRANGER).transport.connect(to, ALPN.ENGINE);
  const ask = new Asks(asks, {});
  asks.onMessage((m) => m.type === "answer" && ask.onAnswer(m.head));
  for (const method of ["constructor", "__proto__", "toString", "nothing"]) {
    await assert.rejects(ask.ask(method, {}, PATIENCE_MS), (e) => toTeselaError(e).code === "E_PROTOCOL", method);
  }
  await assert.rejects(ask.ask("go", { ticket: "x" }, PATIENCE_MS), (e) => toTeselaError(e).code === "E_PROTOCOL");
  await assert.rejects(ask.ask("thaw", { ticket: 1 }, PATIENCE_MS), (e) => toTeselaError(e).code === "E_GONE", "another node's guest");
  asks.close();

  assert.equal(n.node(2).hosting.count, 1);
  busy.signal(SIGTERM);
  assert.match(await busy.end(), /status 0\n$/);
});

test("nobody brings a process in the place of another home's", { skip, timeout: 60_000 }, async () => {
  await using n = await TestNodes.start(3);
  using busy = await TestProgram.start(n.tracees, program("busy"), "1000");
  const words = new BigUint64Array(27);
  words[17] = 0x33n;
  words[20] = 0x2bn;
  const thread = decodeImage(image()).threads[0] as ThreadImage;
  const wild = image({ threads: [{ ...thread, regs: Buffer.from(words.buffer) }] });
  // Taken, as it may have been sent on; the home that it names is not the one who says `go` for it.
  for (let ticket = 1; ticket < 8; ticket++) {
    assert.equal((await carried(n, wild, end, { home: 1, ticket })).message, "it was taken");
  }
  await n.home.migrate(busy.pid, 2);
  for (let ticket = 1; ticket < 8; ticket++) await carried(n, wild, end, { home: 1, ticket });
  busy.signal(SIGTERM);
  assert.match(await busy.end(), /status 0\n$/);
  assert.doesNotMatch(n.logged, /lost its user area/);
});

test("what a host says wrongly of one process ends that link, and moves nothing else", { skip, timeout: 60_000 }, async () => {
  await using n = await TestNodes.start(3);
  using here = await TestProgram.start(n.tracees, program("busy"), "2000");
  using there = await TestProgram.start(n.tracees, program("busy"), "1000000");
  await n.home.migrate(here.pid, 2);
  await n.home.migrate(there.pid, 3);
  // Node 3's end of the link on which it serves node 1's guests.
  const channel = n.node(3).links[0];
  assert.ok(channel);
  const ticket = n.home.tracks.of(here.pid).process?.ticket ?? 0;
  for (const t of [ticket, 12345]) {
    channel.send("lost", { ticket: t, reason: "a lie" });
    channel.send("exit", { ticket: t, code: 3 });
    channel.send("usage", { rows: [{ ticket: t, userUs: 1, systemUs: 1, rss: 1, state: "X", calls: 1 }] });
  }
  await sleep(50);
  assert.equal(n.home.awayCount, 2);
  assert.equal(n.home.tracks.of(here.pid).usage, null);
  channel.send("call", null, Buffer.alloc(200, 0xff));
  assert.match(await there.end(), /status 137\n/, "its user area is lost with the link");
  here.signal(SIGTERM);
  assert.match(await here.end(), /status 0\n$/);
});
