/** Processes that share memory move together, with all that they do to it and for each other, at any moment. */
import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { toTeselaError } from "../base/mod.ts";
import { isEnd, libc, memory, proc } from "../sys/mod.ts";
import { asUnmoved, moved } from "./test-moves.ts";
import { SEED, seeded, TestNodes, TestProgram, tree } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";

const PAUSE_MS = 300;
const POLL_MS = 10;
const HANG_MS = 150_000;
const REST_MS = 15_000;
/** Steps of a program that takes one a millisecond, at most. */
const FEW = 50n;
/** Of its memory with a name. */
const BYTES = 8192n;
const PROT_READ_WRITE = 3;

/** Why they may stay. */
const REASONS = ["shared_memory", "sysv_shm", "monkey"];

/** Moves any of the family, and with it all that share its memory, until the family has ended. */
async function moveAbout(n: TestNodes, group: TestProgram, mostMs: number): Promise<number> {
  const { pid } = group;
  const random = seeded();
  let moves = 0;
  const began = Date.now();
  await n.home.migrate(pid, 2);
  while (tree(pid).length > 0) {
    if (Date.now() - began > HANG_MS)
      assert.fail(`seed ${SEED}: it hangs after ${moves} moves\n${group.stdout}${group.stderr}\n${n.logged.slice(-8000)}`);
    const all = tree(pid);
    const one = all[random.int(all.length)] ?? pid;
    const to = random.int(6) === 0 ? 1 : 2 + random.int(2);
    const error = await moved(n, one, to, REASONS);
    if (error === null) moves++;
    if (error === "E_NOENT_PID" && one === pid) break;
    const away = n.home.tracks.all().filter((t) => t.process?.phase === "away");
    assert.equal(new Set(away.map((t) => t.process?.host?.node)).size <= 1, true, `seed ${SEED}: they are on one node`);
    await sleep(random.float() * mostMs);
  }
  return moves;
}

async function compare(...args: readonly string[]): Promise<void> {
  await using n = await TestNodes.start(3);
  const { said, moves } = await asUnmoved(n, program("group"), args, (group) => moveAbout(n, group, 20));
  assert.match(said, /done \d+ deaths \d+\nstatus 0\n$/);
  assert.ok(moves >= 5, `${moves} moves`);
}

test("a group moved at random does what it does unmoved", { skip, timeout: 300_000 }, async () => {
  await compare("3", "600", String(PAUSE_MS));
});

test("a group whose memory has a name, and is open, too", { skip, timeout: 300_000 }, async () => {
  await compare("3", "900", String(PAUSE_MS), "1");
});

/** What a stranger reads there: two words that the program writes one behind the other. */
async function look(n: TestNodes, name: string): Promise<readonly [bigint, bigint]> {
  const dir = mkdtempSync(join(tmpdir(), "tesela-look-"));
  try {
    const out = openSync(join(dir, "out"), "w+");
    const pid = libc.spawn("/bin/cat", ["cat", `/dev/shm${name}`], [out, out, out]);
    await new Promise<void>((resolve) => n.tracees.claim(pid, (s) => isEnd(s) && resolve()));
    closeSync(out);
    const bytes = readFileSync(join(dir, "out"));
    return [bytes.readBigUInt64LE(0), bytes.readBigUInt64LE(Number(BYTES / 2n))];
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** How far a program that counts in memory with a name has got where it is a guest: nobody but the engine that holds it can look there. */
function counted(n: TestNodes, node: number): bigint {
  const [guest] = n.node(node).hosting.all();
  const { tid } = guest?.leader ?? assert.fail("it is not there");
  const area = proc.readMaps(tid).find((l) => l.shared && l.prot === PROT_READ_WRITE && l.end - l.start === BYTES);
  const word = Buffer.alloc(8);
  assert.ok(area && memory.readUpTo(tid, area.start, word) === word.length);
  return word.readBigUInt64LE();
}

test("who opens shared memory that is away waits until it is home", { skip, timeout: 120_000 }, async () => {
  await using n = await TestNodes.start(3);
  const name = `/tesela-count-${process.pid}`;
  try {
    using counting = await TestProgram.start(n.tracees, program("shm-count"), name);
    let last = 0n;
    const looks = async (): Promise<void> => {
      const [first, second] = await look(n, name);
      // It is read while it is written.
      assert.ok(first > last && second > last && second - first < FEW && first - second < FEW, `${first} ${second} after ${last}`);
      last = first;
    };
    await looks();
    for (const nodes of [[2], [3], [2, 3], [2, 3, 2]]) {
      for (const node of nodes) {
        await n.home.migrate(counting.pid, node);
        await sleep(50);
      }
      await looks();
      assert.equal(n.home.tracks.find(counting.pid)?.node, null, "it has come home");
    }
    // Several at once, one of them in the middle of a move.
    await n.home.migrate(counting.pid, 2);
    await sleep(50);
    await Promise.all([looks(), n.home.migrate(counting.pid, 3).catch(() => {})]);
    await n.home.migrate(counting.pid, 2).catch(() => {});
    await Promise.all([look(n, name), look(n, name), look(n, name)]);
    // It ends away from home: what it has left is there all the same.
    await n.home.migrate(counting.pid, 3);
    // However little a guest gets of a busy machine.
    while (counted(n, 3) <= last + FEW) await sleep(POLL_MS);
    counting.signal(9);
    assert.match(await counting.end(), /status 137\n/);
    const [first, second] = await look(n, name);
    assert.ok(first > last + FEW && first - second <= 1n, `${first} ${second} after ${last}`);
  } finally {
    rmSync(`/dev/shm${name}`, { force: true });
  }
});

test("one of a group that is killed at any moment of a move takes none of the others with it", { skip, timeout: 300_000 }, async () => {
  await using n = await TestNodes.start(3);
  const random = seeded();
  const children = 8;
  for (let round = 0; round < 3; round++) {
    using herd = await TestProgram.start(n.tracees, program("herd"), String(children));
    for (let left = tree(herd.pid).slice(1); left.length > 0; left = tree(herd.pid).slice(1)) {
      const victim = left[random.int(left.length)] ?? 0;
      // The one that is moved, or another that goes along.
      const moved = random.int(2) === 0 ? victim : herd.pid;
      const to = random.int(4) === 0 ? ("home" as const) : 2 + random.int(2);
      const over = n.home.migrate(moved, to).catch((e: unknown) => {
        const { code, message } = toTeselaError(e);
        if (!["E_GONE", "E_NOENT_PID", "E_EXISTS", "E_BUSY"].includes(code)) assert.fail(`seed ${SEED}: ${code} ${message}`);
      });
      await sleep(random.float() * 120);
      libc.kill(victim, 9);
      await over;
    }
    const said = await herd.end();
    assert.equal(said, `ready\ndone ${children} of ${children}\nstatus 0\n`, `seed ${SEED}, round ${round}\n${n.logged.slice(-6000)}`);
  }
  const left = (): number => n.nodes.reduce((sum, node) => sum + node.hosting.count, 0) + n.home.awayCount;
  for (let waited = 0; left() > 0 && waited < REST_MS; waited += POLL_MS) await sleep(POLL_MS);
  const rest = n.nodes.flatMap((node) => [...node.hosting.all()].map((g) => `guest ${g.pid} on ${node.id}: ${g.leader.state.kind}`));
  assert.equal(left(), 0, `seed ${SEED}: ${rest} ${n.home.awayCount} away\n${n.logged.slice(-3000)}`);
});
