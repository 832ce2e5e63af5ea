import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_SYSCALL, Reg, Regs } from "../sys/mod.ts";
import { repeatRegs, resumeRegs, rewind } from "./freeze.ts";

const RIP = 0x401002n;
function stopped(nr: bigint, rax: bigint): Regs {
  const regs = new Regs();
  regs.set(Reg.rip, RIP);
  regs.set(Reg.origRax, nr);
  regs.set(Reg.rax, rax);
  return regs;
}

/** What becomes of a thread that is stopped with `orig_rax` and `rax`: again at the call, behind it, or for home's kernel to finish. */
const CASES: readonly (readonly [what: string, nr: bigint, rax: bigint, "interrupted" | "behind" | "home"])[] = [
  ["computing", -1n, -512n, "behind"],
  ["read, done", 0n, 5n, "behind"],
  ["read, an error", 0n, -9n, "behind"],
  ["read, ERESTARTSYS", 0n, -512n, "interrupted"],
  ["wait4, ERESTARTSYS", 61n, -512n, "interrupted"],
  ["ERESTARTNOINTR", 435n, -513n, "interrupted"],
  ["pause, ERESTARTNOHAND", 34n, -514n, "interrupted"],
  ["not a restart code", 0n, -515n, "behind"],
  ["poll, ERESTART_RESTARTBLOCK", 7n, -516n, "interrupted"],
  ["futex, ERESTART_RESTARTBLOCK", 202n, -516n, "interrupted"],
  ["nanosleep, ERESTART_RESTARTBLOCK", 35n, -516n, "home"],
  ["clock_nanosleep, ERESTART_RESTARTBLOCK", 230n, -516n, "home"],
  ["nanosleep, ERESTARTSYS", 35n, -512n, "interrupted"],
  ["epoll_wait, EINTR without a handler", 232n, -4n, "interrupted"],
  ["rt_sigtimedwait, EINTR without a handler", 128n, -4n, "interrupted"],
  ["write to a socket with a limit, EINTR", 1n, -4n, "interrupted"],
  ["readv of inotify, EINTR", 19n, -4n, "interrupted"],
  ["splice to a socket with a limit, EINTR", 275n, -4n, "interrupted"],
  ["close, EINTR", 3n, -4n, "behind"],
  ["open, EINTR", 2n, -4n, "behind"],
];

for (const [what, nr, rax, want] of CASES) {
  test(`frozen in ${what}`, () => {
    const regs = stopped(nr, rax);
    const restart = rewind(regs);
    const interrupted = regs.syscallNumber >= 0;
    assert.equal(restart ? "home" : interrupted ? "interrupted" : "behind", want);
    assert.equal(regs.get(Reg.rip), RIP, "whichever kernel goes on sets it back");
    if (!interrupted) assert.equal(regs.get(Reg.origRax), NO_SYSCALL, "the kernel is not to restart it");
    else assert.ok(regs.result <= -512n && regs.result >= -514n, "a mark that any kernel knows what to do with");
    if (!interrupted) assert.equal(regs.result, want === "home" ? -4n : rax);
    if (interrupted) {
      const again = repeatRegs({ regs, restart });
      assert.deepEqual([again.get(Reg.rip), again.get(Reg.rax), again.get(Reg.origRax)], [RIP - 2n, nr, NO_SYSCALL]);
    }
    assert.deepEqual(restart, want === "home" ? { nr: Number(nr) } : null);
    if (!restart) return;
    // At home its kernel goes on with it; without that, it begins anew.
    const on = resumeRegs({ tid: process.pid, regs, restart });
    assert.deepEqual([on.get(Reg.rip), on.get(Reg.rax)], [RIP - 2n, 219n]);
    assert.deepEqual([repeatRegs({ regs, restart }).get(Reg.rip), repeatRegs({ regs, restart }).get(Reg.rax)], [RIP - 2n, nr]);
    assert.equal(regs.get(Reg.rip), RIP, "and the frozen registers stay as they are");
  });
}
