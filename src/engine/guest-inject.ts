import { assert, TeselaError } from "../base/mod.ts";
import { SKELETON_BASE, Stub } from "../image/mod.ts";
import { ptrace, Regs } from "../sys/mod.ts";
import type { Guest } from "./guest.ts";
import { ALL_BUT_TRAP, signalOf } from "./guest-build.ts";
import { Sys } from "./numbers.ts";
import { place } from "./zygote.ts";

const SIGTRAP = 5;

/**
 * Makes a stopped guest do one call of ours, at any stop but a signal-delivery-stop whose signal is still wanted, and puts
 * its registers and mask back. The guest's filter stops the call like its own, and it is let through.
 */
export function injectCall(guest: Pick<Guest, "tid" | "tracees">, nr: number, args: readonly (bigint | number)[]): bigint {
  const { tid, tracees } = guest;
  const saved = new Regs();
  ptrace.getRegs(tid, saved.bytes);
  const mask = ptrace.getSigmask(tid);
  ptrace.setSigmask(tid, ALL_BUT_TRAP);
  const regs = saved.clone();
  regs.setCall(SKELETON_BASE + BigInt(Stub.one), nr, args);
  ptrace.setRegs(tid, regs.bytes);
  for (;;) {
    ptrace.cont(tid);
    const s = tracees.wait(tid);
    if (s.kind === "exited" || s.kind === "killed") throw new TeselaError("E_GONE", "the guest ended");
    if (s.kind === "signal" && s.signal === SIGTRAP) break;
    assert(s.kind === "event", `a call in a guest ends (${JSON.stringify(s)})`);
  }
  ptrace.getRegs(tid, regs.bytes);
  ptrace.setRegs(tid, saved.bytes);
  ptrace.setSigmask(tid, mask);
  return regs.result;
}

/** Puts a signal, with all it says, into the guest's own queue. */
export function queueSignal(guest: Pick<Guest, "tid" | "tracees" | "selfTid">, info: Uint8Array): void {
  const at = place(guest.tid, 0, info);
  const result = injectCall(guest, Sys.rtTgsigqueueinfo, [guest.selfTid, guest.selfTid, signalOf(info), at]);
  assert(result === 0n, `a signal is queued (${result})`);
}
