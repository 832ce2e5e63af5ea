/** Threads and families among nodes that take home's kernel for another than theirs: as unmoved, wherever they are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type ProgramName, program } from "../../test/programs/build.ts";
import { asUnmoved, moved } from "./test-moves.ts";
import { SEED, seeded, STEP_MS, TestNodes, tree } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
/** Node 1 is home and node 2 has its kernel. */
const NODES = 4;
const FOREIGN = [3, 4];
/** Time to be moved away before the first round. */
const PAUSE_MS = 500;
const MOST_PAUSE_MS = 8000;
const LEAST_MOVES = 5;
const MOST_REST_MS = 15;
const HANG_MS = 150_000;

/** Why one of them may stay. */
const REASONS = ["vfork", "clone_vm", "stopped", "leader_exit"];

/** Moves any of the family to any node, mostly those with another kernel, until all have ended. @returns how often to one of these */
async function moveAbout(n: TestNodes, pid: number): Promise<number> {
  const random = seeded();
  let foreign = 0;
  const began = Date.now();
  for (let all = tree(pid), first = true; all.length > 0; all = tree(pid), first = false) {
    if (Date.now() - began > HANG_MS) assert.fail(`seed ${SEED}: it hangs\n${n.logged.slice(-8000)}`);
    const one = first || random.int(2) === 0 ? pid : (all[random.int(all.length)] ?? pid);
    const to = first ? 3 : random.int(8) === 0 ? 1 : 2 + random.int(3);
    const error = await moved(n, one, to, REASONS);
    if (error === null && FOREIGN.includes(to)) foreign++;
    if (error === "E_NOENT_PID" && one === pid) break;
    await sleep(random.float() * MOST_REST_MS);
  }
  return foreign;
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
  test(`${what}, moved at random among kernels`, { skip, timeout: 300_000 }, async (t) => {
    // Where moves take long the program is over before it has been moved often enough to tell.
    for (let pause = PAUSE_MS; ; pause *= 2) {
      await using n = await TestNodes.start(NODES, STEP_MS, FOREIGN);
      const { moves: foreign } = await asUnmoved(n, program(name), args(pause), ({ pid }) => moveAbout(n, pid));
      const back = n.logged.match(/"reason":"vdso"/g)?.length ?? 0;
      t.diagnostic(`${foreign} moves to another kernel, brought home from there ${back} times`);
      if (foreign >= LEAST_MOVES) break;
      assert.ok(pause < MOST_PAUSE_MS, `${foreign} moves`);
    }
  });
}
