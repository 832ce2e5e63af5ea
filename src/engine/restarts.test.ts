/** A wait that has partly passed, in a thread that is stopped twice without having run in between. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { ptrace, Reg, Tracees } from "../sys/mod.ts";
import { describe, resumeRegs } from "./freeze.ts";
import { Sys } from "./numbers.ts";
import { letAllGo, seizeAndFreeze } from "./seize.ts";
import { TestProgram } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "tracing other users' processes needs root";
const SIGTERM = 15;
const KINDS = ["nanosleep", "nanosleep_rest", "nanosleep_until"];

test("a sleep goes on however often it is met, having run in between or not", { skip, timeout: 60_000 }, async () => {
  using tracees = new Tracees();
  using waits = await TestProgram.start(tracees, program("waits"), ...KINDS);
  const { pid } = waits;
  let met = 0;
  for (let i = 0; i < 20; i++) {
    const frozen = await seizeAndFreeze(tracees, { pid, seized: false });
    for (const thread of frozen.others) {
      if (!thread.restart) continue;
      met++;
      const on = resumeRegs(thread);
      assert.deepEqual([on.get(Reg.rax), on.syscallNumber], [BigInt(Sys.restartSyscall), -1]);
      ptrace.setRegs(thread.tid, on.bytes);
      const again = describe(thread.tid);
      assert.deepEqual(again.restart, thread.restart);
      assert.deepEqual(again.regs.bytes, thread.regs.bytes);
      // As the kernel leaves it, which has sent it back itself.
      on.set(Reg.origRax, BigInt(thread.restart.nr));
      ptrace.setRegs(thread.tid, on.bytes);
      assert.deepEqual(describe(thread.tid).restart, thread.restart);
    }
    letAllGo(tracees, pid, [frozen.leader, ...frozen.others]);
    await sleep(i % 4);
  }
  assert.ok(met > 0, "some slept");
  waits.signal(SIGTERM);
  assert.equal(await waits.end(), `ready\nwaits ${KINDS.length} early 0\nstatus 0\n`);
});
