/** Moves between engines in one process, with what may come in between: signals, stops, kills, faults at every point, strange peers. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { toTeselaError } from "../base/mod.ts";
import { libc, proc } from "../sys/mod.ts";
import { FAULT_POINTS, type FaultPoint } from "./faults.ts";
import { pendingSignals } from "./freeze.ts";
import { SEED, seeded, TestNodes, TestProgram } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const options = { skip, timeout: 120_000 };
const [SIGKILL, SIGTERM, SIGCONT, SIGSTOP, SIGRTMIN] = [9, 15, 18, 19, 34];
const RT_SIGQUEUEINFO = 129;
const SI_QUEUE = -1;
const SETTLE_MS = 20_000;
const SLEEP_MS = 4000;

function queue(pid: number, value: number): void {
  const info = Buffer.alloc(128);
  info.writeInt32LE(SIGRTMIN, 0);
  info.writeInt32LE(SI_QUEUE, 8);
  info.writeInt32LE(process.pid, 16);
  info.writeInt32LE(value, 24);
  libc.syscall("rt_sigqueueinfo", RT_SIGQUEUEINFO, pid, SIGRTMIN, libc.addressOf(info));
}

/** No real-time signal waits at home, for the process or for its deputy. */
async function taken(pid: number): Promise<void> {
  const waits = (): boolean => (pendingSignals(pid) & (1n << BigInt(SIGRTMIN - 1))) !== 0n;
  for (let waited = 0; waits(); waited++) {
    assert.ok(waited < SETTLE_MS, "signals wait");
    await sleep(1);
  }
}

/** Any node but the one where it is. */
async function moveAway(n: TestNodes, pid: number, pick: (of: number) => number): Promise<void> {
  const at = n.home.tracks.of(pid).node ?? 1;
  const choices = n.nodes.map((node) => node.id as number).filter((id) => id !== at);
  const to = choices[pick(choices.length)] ?? 1;
  await n.home.migrate(pid, to === 1 ? "home" : to);
}

const busySum = (said: string): string | undefined => /sum (\S+)/.exec(said)?.[1];

/** What `busy` computes in so many rounds. */
async function unmoved(n: TestNodes, rounds: number): Promise<string | undefined> {
  using busy = await TestProgram.start(n.tracees, program("busy"), String(rounds));
  busy.signal(SIGTERM);
  return busySum(await busy.end());
}

test("signals, with what they say, come once each through moves", options, async () => {
  await using n = await TestNodes.start(3);
  const random = seeded();
  const want = await unmoved(n, 2000);
  using busy = await TestProgram.start(n.tracees, program("busy"), "2000");
  let sent = 0;
  let over = false;
  const storm = (async () => {
    for (; !over; await sleep(random.float() * 4)) queue(busy.pid, ++sent);
  })();
  for (let i = 0; i < 50; i++) {
    await moveAway(n, busy.pid, (of) => random.int(of));
    await sleep(random.float() * 10);
  }
  over = true;
  await storm;
  // SIGTERM is delivered before real-time signals, and ends it.
  await taken(busy.pid);
  await sleep(100);
  busy.signal(SIGTERM);
  const said = await busy.end();
  assert.match(said, new RegExp(`signals ${sent} values ${(sent * (sent + 1)) / 2}\nstatus 0\n$`), `seed ${SEED}`);
  assert.equal(busySum(said), want);
});

test("a move that fails at any point leaves the process whole where it was", options, async () => {
  await using n = await TestNodes.start(3);
  const want = await unmoved(n, 1500);
  using busy = await TestProgram.start(n.tracees, program("busy"), "1500");
  let sent = 0;
  const tryAll = async (points: readonly FaultPoint[], to: number | "home", where: number): Promise<void> => {
    for (const at of points) {
      const { faults } = n.node(where);
      faults.arm(at, "fail");
      queue(busy.pid, ++sent);
      await assert.rejects(n.home.migrate(busy.pid, to), (e) => {
        assert.match(toTeselaError(e).message, new RegExp(`at '${at}'`));
        return true;
      });
      queue(busy.pid, ++sent);
      await sleep(5);
    }
  };
  const sending: readonly FaultPoint[] = ["image", "pages", "end"];
  await tryAll(["offer", "files", "freeze", "capture", ...sending, "go"], 2, 1);
  await n.home.migrate(busy.pid, 2);
  await tryAll(["stand", "reshape", "land"], "home", 1);
  // Once all has been sent, home decides.
  await tryAll(["image", "pages"], "home", 2);
  await tryAll(["offer", "files", ...sending], 3, 2);
  await tryAll(["go"], 3, 1);
  assert.equal(n.home.tracks.of(busy.pid).node, 2);
  assert.equal(n.node(2).hosting.count, 1);
  assert.equal(n.node(3).hosting.count, 0);
  await taken(busy.pid);
  await sleep(100);
  busy.signal(SIGTERM);
  const said = await busy.end();
  assert.match(said, new RegExp(`signals ${sent} values ${(sent * (sent + 1)) / 2}\nstatus 0\n$`));
  assert.equal(busySum(said), want);
  assert.equal(FAULT_POINTS.length, 11, "this test knows all points");
});

test("a node that comes to take no guests in the middle of a move has none afterwards", options, async () => {
  await using n = await TestNodes.start(2);
  using busy = await TestProgram.start(n.tracees, program("busy"), "200");
  n.node(1).faults.arm("go", "wait", 100);
  const move = n.home.migrate(busy.pid, 2);
  const refused = assert.rejects(move, (e) => toTeselaError(e).code === "E_REFUSED");
  while (n.node(1).faults.reached !== "go") await sleep(1);
  n.node(2).facts.blocked = true;
  await refused;
  assert.equal(n.node(2).hosting.count, 0);
  busy.signal(SIGTERM);
  assert.match(await busy.end(), /status 0\n$/);
});

test("a sleep goes on where a failed freeze met it", options, async () => {
  await using n = await TestNodes.start(2);
  // It begins no sooner.
  const began = performance.now();
  using sleeper = await TestProgram.start(n.tracees, `sh -c 'echo ready; exec sleep ${SLEEP_MS / 1000}'`);
  // Begun again it would last longer than a busy machine may add.
  await sleep(SLEEP_MS - 500);
  const frozen = performance.now();
  n.node(1).faults.arm("freeze", "fail");
  await assert.rejects(n.home.migrate(sleeper.pid, 2));
  n.node(1).faults.arm("capture", "fail");
  await assert.rejects(n.home.migrate(sleeper.pid, 2));
  assert.equal(await sleeper.end(), "ready\nstatus 0\n");
  const over = performance.now();
  assert.ok(over - began > SLEEP_MS - 100 && over - frozen < SLEEP_MS, `it slept ${over - began} ms, and ${over - frozen} of them since`);
});

test("stops and continuations come through moves", options, async () => {
  await using n = await TestNodes.start(3);
  const random = seeded();
  using busy = await TestProgram.start(n.tracees, program("busy"), "1500");
  let over = false;
  const storm = (async () => {
    while (!over) {
      busy.signal(SIGSTOP);
      await sleep(random.float() * 5);
      busy.signal(SIGCONT);
      await sleep(random.float() * 15);
    }
  })();
  let moved = 0;
  for (let i = 0; i < 60; i++) {
    try {
      await moveAway(n, busy.pid, (of) => random.int(of));
      moved++;
    } catch (e) {
      const { code, details } = toTeselaError(e);
      assert.deepEqual([code, details.reasons], ["E_CANTMOVE", ["stopped"]], `seed ${SEED}: ${String(e)}`);
    }
    await sleep(random.float() * 10);
  }
  over = true;
  await storm;
  assert.ok(moved > 5);
  busy.signal(SIGTERM);
  assert.match(await busy.end(), /status 0\n$/, `seed ${SEED}`);
});

test("a process killed at any moment ends alone, and leaves nothing", options, async () => {
  await using n = await TestNodes.start(3);
  const random = seeded();
  const want = await unmoved(n, 6000);
  using other = await TestProgram.start(n.tracees, program("busy"), "6000");
  await n.home.migrate(other.pid, 2);
  const before = readdirSync("/proc/self/fd").length;
  for (let i = 0; i < 25; i++) {
    using victim = await TestProgram.start(n.tracees, program("busy"), "1000000");
    for (let m = random.int(4); m > 0; m--) await moveAway(n, victim.pid, (of) => random.int(of));
    const move = moveAway(n, victim.pid, (of) => random.int(of)).catch((e: unknown) => assert.ok(toTeselaError(e)));
    await sleep(random.float() * 12);
    victim.signal(SIGKILL);
    await move;
    assert.match(await victim.end(), /status 137\n/, `seed ${SEED}`);
  }
  const guests = (): number => n.nodes.reduce((sum, node) => sum + node.hosting.count, 0);
  for (let waited = 0; (n.home.awayCount > 1 || guests() > 1) && waited < SETTLE_MS; waited++) await sleep(1);
  assert.equal(n.home.awayCount, 1, `seed ${SEED}: ${n.logged}`);
  assert.equal(
    guests(),
    1,
    `seed ${SEED}: ${n.nodes.flatMap((node) => [...node.hosting.all()].map((g) => `${g.pid} on ${node.id}, ${g.leader.state.kind}`))}\n${n.logged}`,
  );
  assert.ok(readdirSync("/proc/self/fd").length <= before + 6, "descriptors stay the same");
  assert.ok(proc.exists(other.pid));
  other.signal(SIGTERM);
  const said = await other.end();
  assert.equal(busySum(said), want, said);
});
