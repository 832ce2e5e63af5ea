/** Threads and families among nodes that take home's kernel for another than theirs: as unmoved, wherever they are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type ProgramName, program } from "../../test/programs/build.ts";
import { toTeselaError } from "../base/mod.ts";
import { SEED, seeded, TestNodes, TestProgram, tree } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
/** Node 1 is home and node 2 has its kernel. */
const NODES = 4;
const FOREIGN = [3, 4];
/** Time to be moved away before the first round. */
const PAUSE_MS = 500;
const MOST_PAUSE_MS = 8000;
const LEAST_MOVES = 5;
const MOST_REST_MS = 15;
const POLL_MS = 10;
const HANG_MS = 60_000;

/** What may be said of a process of which one knows no more than its PID; all else is a fault. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  E_GONE: [],
  E_NOENT_PID: [],
  E_EXISTS: [],
  E_BUSY: [],
  E_CANTMOVE: ["vfork", "clone_vm", "stopped", "ended", "traced", "system", "leader_exit"],
};

/** Moves any of the family to any node, mostly those with another kernel, until all have ended. @returns how often to one of these */
async function moveAbout(n: TestNodes, pid: number): Promise<number> {
  const random = seeded();
  let foreign = 0;
  const began = Date.now();
  for (let all = tree(pid), first = true; all.length > 0; all = tree(pid), first = false) {
    if (Date.now() - began > HANG_MS) assert.fail(`seed ${SEED}: it hangs\n${n.logged.slice(-8000)}`);
    const one = first || random.int(2) === 0 ? pid : (all[random.int(all.length)] ?? pid);
    const to = first ? 3 : random.int(8) === 0 ? 1 : 2 + random.int(3);
    try {
      await n.home.migrate(one, to === 1 ? "home" : to);
      if (FOREIGN.includes(to)) foreign++;
    } catch (e) {
      const { code, message, details } = toTeselaError(e);
      const reasons = (details.reasons ?? []) as string[];
      assert.ok(EXPECTED[code] && reasons.every((r) => EXPECTED[code]?.includes(r)), `seed ${SEED}: ${code} ${message} ${reasons}`);
      if (code === "E_NOENT_PID" && one === pid) break;
    }
    await sleep(random.float() * MOST_REST_MS);
  }
  return foreign;
}

async function compareOnce(name: ProgramName, args: readonly string[]): Promise<{ foreign: number; back: number }> {
  await using n = await TestNodes.start(NODES, 2000, FOREIGN);
  const output = async (moving: (pid: number) => Promise<void>): Promise<string> => {
    using p = await TestProgram.start(n.tracees, program(name), ...args);
    await moving(p.pid);
    return await p.end();
  };
  const want = await output(async () => {});
  let foreign = 0;
  const have = await output(async (pid) => {
    foreign = await moveAbout(n, pid);
  });
  assert.equal(have, want, `seed ${SEED}, ${foreign} moves to another kernel\n${n.logged.slice(-6000)}`);
  const left = (): number => n.nodes.reduce((sum, node) => sum + node.hosting.count, 0) + n.home.awayCount;
  for (let waited = 0; left() > 0 && waited < HANG_MS; waited += POLL_MS) await sleep(POLL_MS);
  assert.equal(left(), 0, `seed ${SEED}`);
  return { foreign, back: n.logged.match(/"reason":"vdso"/g)?.length ?? 0 };
}

const SYNC = "mutexes rwlocks spinlocks barriers turns semaphores robust heirs futexes".split(" ");
const RUNS: readonly (readonly [string, ProgramName, (pauseMs: number) => readonly string[]])[] = [
  ["threads", "threads", (pause) => ["3", "7", `${pause}`]],
  ["what threads share and wait for", "threads", (pause) => ["2", "7", `${pause}`, ...SYNC]],
  ["clocks and timers of threads", "threads", (pause) => ["2", "7", `${pause}`, "clocks", "timers", "sleeps", "queued", "directed"]],
  ["waits of all kinds, each ended as it is meant to be", "threads", (pause) => ["wait", `${pause}`]],
  ["a thread that becomes the program anew", "threads", (pause) => ["exec", `${pause}`]],
  ["a family", "family", (pause) => ["3", "7", `${pause}`]],
];
for (const [what, name, args] of RUNS) {
  test(`${what}, moved at random among kernels`, { skip, timeout: 180_000 }, async (t) => {
    // Where moves take long the program is over before it has been moved often enough to tell.
    for (let pause = PAUSE_MS; ; pause *= 2) {
      const { foreign, back } = await compareOnce(name, args(pause));
      t.diagnostic(`${foreign} moves to another kernel, brought home from there ${back} times`);
      if (foreign >= LEAST_MOVES) break;
      assert.ok(pause < MOST_PAUSE_MS, `${foreign} moves`);
    }
  });
}
