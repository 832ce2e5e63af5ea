/** A stop and a continuation undo each other where they wait, whatever a move does with the queue meanwhile (signal(7)). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { proc } from "../sys/mod.ts";
import type { FaultPoint } from "./faults.ts";
import { TestNodes, TestProgram } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const options = { skip, timeout: 60_000 };
const [SIGTERM, SIGCONT, SIGSTOP] = [15, 18, 19];
/** A move is held at a point for so long, and signals come in the middle of that. */
const HELD_MS = 150;
const APART_MS = 30;
const PATIENCE_MS = 5000;

/** Holds a move at a point, and sends these meanwhile. */
async function during(n: TestNodes, at: FaultPoint, busy: TestProgram, to: number | "home", signals: readonly number[]): Promise<void> {
  const { faults } = n.node(1);
  faults.reached = null;
  faults.arm(at, "wait", HELD_MS);
  const move = n.home.migrate(busy.pid, to);
  for (let waited = 0; faults.reached !== at; waited++) {
    assert.ok(waited < PATIENCE_MS, `the move does not come to '${at}'`);
    await sleep(1);
  }
  for (const signal of signals) {
    await sleep(APART_MS);
    busy.signal(signal);
  }
  await move;
}

async function stops(pid: number): Promise<void> {
  for (let waited = 0; !/[Tt]/.test(proc.readStat(pid).state); waited++) {
    assert.ok(waited < PATIENCE_MS, `process ${pid} does not stop`);
    await sleep(1);
  }
}

test("one is continued that was stopped on the move, though an older continuation waits", options, async () => {
  await using n = await TestNodes.start(2);
  using busy = await TestProgram.start(n.tracees, program("cont-blocked"));
  busy.signal(SIGCONT);
  await during(n, "capture", busy, 2, [SIGSTOP, SIGCONT]);
  busy.signal(SIGTERM);
  assert.equal(await busy.end(), "ready\npending 1\nhandled 1\nstatus 0\n");
});

test("a continuation that waits is there after moves, once", options, async () => {
  await using n = await TestNodes.start(3);
  using busy = await TestProgram.start(n.tracees, program("cont-blocked"));
  busy.signal(SIGCONT);
  for (const to of [2, 3, "home", 3] as const) await n.home.migrate(busy.pid, to);
  busy.signal(SIGTERM);
  assert.equal(await busy.end(), "ready\npending 1\nhandled 1\nstatus 0\n");
});

test("a stop that comes on the move is not undone by a continuation that came before", options, async () => {
  for (const [at, to] of [
    ["capture", 2],
    ["land", "home"],
  ] as const) {
    await using n = await TestNodes.start(2);
    using busy = await TestProgram.start(n.tracees, program("cont-blocked"));
    busy.signal(SIGCONT);
    if (to === "home") await n.home.migrate(busy.pid, 2);
    await during(n, at, busy, to, [SIGSTOP]);
    await stops(busy.pid);
    await sleep(APART_MS);
    await stops(busy.pid);
    busy.signal(SIGCONT);
    await sleep(APART_MS);
    busy.signal(SIGTERM);
    assert.equal(await busy.end(), "ready\npending 1\nhandled 1\nstatus 0\n");
  }
});
