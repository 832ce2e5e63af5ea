/** What speaks against a move of a process that ends: nothing but that. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { toTeselaError } from "../base/mod.ts";
import { libc, proc, Tracees } from "../sys/mod.ts";
import { refusals } from "./refusals.ts";
import { TestNodes, TestProgram, tree } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "looking at other users' processes needs root";
const SIGKILL = 9;
const VICTIMS = 40;
const KINDS = ["read", "futex", "nanosleep", "nanosleep_until", "sigwaitinfo", "poll", "lock_pi"];

/** Reasons with commas between, or the code of an error. */
function told(pid: number): string {
  try {
    return refusals(pid, false).join(",");
  } catch (e) {
    return toTeselaError(e).code;
  }
}

test("one that was killed has ended, whichever of its threads ends first, and however long the others take", { skip }, async () => {
  using tracees = new Tracees();
  const seen = new Set<string>();
  for (let i = 0; i < VICTIMS; i++) {
    using victim = await TestProgram.start(tracees, program("waits"), ...KINDS);
    libc.kill(victim.pid, SIGKILL);
    // Without a pause, which would let it end.
    for (let last = ""; last !== "E_NOENT_PID"; seen.add(last)) last = told(victim.pid);
    await victim.end();
  }
  for (const known of ["", "ended", "E_NOENT_PID"]) seen.delete(known);
  assert.deepEqual([...seen], []);
});

test("one that ends while it is looked at is not there any more", { skip }, async () => {
  await using n = await TestNodes.start(1);
  using victim = await TestProgram.start(n.tracees, program("waits"), "read");
  const why = n.home.why(victim.pid);
  libc.kill(victim.pid, SIGKILL);
  // Nothing of what it has begun goes on meanwhile.
  while (existsSync(`/proc/${victim.pid}`));
  await assert.rejects(why, (e) => toTeselaError(e).code === "E_NOENT_PID");
});

test("two that have ended do not share their memory: they have none", { skip, timeout: 60_000 }, async () => {
  using tracees = new Tracees();
  using parent = await TestProgram.start(tracees, "sh -c 'sleep 1 & sleep 1 & echo ready; exec sleep 60'");
  // They end when their parent is another program, which does not wait for them.
  const [, ...children] = tree(parent.pid);
  assert.equal(children.length, 2);
  for (const pid of children) {
    while (proc.exists(pid) || !told(pid).includes("ended")) await sleep(1);
  }
  assert.deepEqual(children.map(told), ["ended", "ended"]);
});

test("one that goes on without its first thread is told from it", { skip }, async () => {
  using tracees = new Tracees();
  using rest = await TestProgram.start(tracees, program("refuse-leader-exit"));
  assert.equal(told(rest.pid), "leader_exit");
});
