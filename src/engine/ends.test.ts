/** A process of several threads ends while its first one is waited for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { program } from "../../test/programs/build.ts";
import { isEnd, Tracees } from "../sys/mod.ts";
import { seizeAndFreeze } from "./seize.ts";
import { TestProgram } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "tracing other users' processes needs root";
const SIGKILL = 9;

test("the end of a first thread is heard of though its others have not been waited for", { skip, timeout: 60_000 }, async () => {
  using tracees = new Tracees();
  using waits = await TestProgram.start(tracees, program("waits"), "read", "futex", "nanosleep");
  const { pid } = waits;
  const { others } = await seizeAndFreeze(tracees, { pid, seized: false });
  const ended = new Set<number>();
  for (const { tid } of others) tracees.claim(tid, (s) => isEnd(s) && ended.add(tid));
  waits.signal(SIGKILL);
  assert.deepEqual(tracees.wait(pid), { kind: "killed", signal: SIGKILL, core: false });
  assert.equal(await waits.end(), "ready\nstatus 137\nKilled\n");
  assert.deepEqual([...ended].sort(), others.map((t) => t.tid).sort());
});
