import { assert, TeselaError } from "../base/mod.ts";
import { SKELETON_BASE, Stub, stubCode } from "../image/mod.ts";
import { memory, ptrace, Regs } from "../sys/mod.ts";
import type { Guest } from "./guest.ts";
import { ALL_BUT_TRAP, signalOf } from "./guest-build.ts";
import { Sys } from "./numbers.ts";
import { place } from "./skeleton.ts";

const SIGTRAP = 5;
const CALL_AT = SKELETON_BASE + BigInt(Stub.one);
/** A guest that had other code here could make calls that its filter forbids, or never come back to us. */
const CALL_CODE = stubCode().subarray(Stub.one, Stub.one + 3);

/**
 * Makes a stopped guest do one call of ours, at any stop but a signal-delivery-stop whose signal is still wanted, and puts
 * its registers and mask back. The guest's filter stops the call like its own, and it is let through.
 */
export function injectCall(guest: Pick<Guest, "tid" | "tracees">, nr: number, args: readonly (bigint | number)[]): bigint {
  const { tid, tracees } = guest;
  const code = Buffer.alloc(CALL_CODE.length);
  memory.readUpTo(tid, CALL_AT, code);
  if (!code.equals(CALL_CODE))
    throw new TeselaError("E_CANTMOVE", "the guest has changed Tesela's own pages", { reasons: ["low_address"] });
  const saved = new Regs();
  ptrace.getRegs(tid, saved.bytes);
  const mask = ptrace.getSigmask(tid);
  ptrace.setSigmask(tid, ALL_BUT_TRAP);
  const regs = saved.clone();
  regs.setCall(CALL_AT, nr, args);
  ptrace.setRegs(tid, regs.bytes);
  for (let stops = 0; ; stops++) {
    ptrace.cont(tid);
    const s = tracees.wait(tid);
    if (s.kind === "exited" || s.kind === "killed") throw new TeselaError("E_GONE", "the guest ended");
    if (s.kind === "signal" && s.signal === SIGTRAP) break;
    // The filter's stop for this call, and one that was asked for by an interrupt.
    assert(s.kind === "event" && stops < 3, `a call in a guest ends (${JSON.stringify(s)})`);
  }
  ptrace.getRegs(tid, regs.bytes);
  ptrace.setRegs(tid, saved.bytes);
  ptrace.setSigmask(tid, mask);
  return regs.result;
}

const EAGAIN = -11n;

/** Puts a signal, with all it says, into the guest's own queue. */
export function queueSignal(guest: Pick<Guest, "tid" | "tracees" | "image">, info: Uint8Array): void {
  const at = place(guest.tid, 0, info);
  const result = injectCall(guest, Sys.rtTgsigqueueinfo, [guest.image.pid, guest.image.pid, signalOf(info), at]);
  assert(result === 0n || result === EAGAIN, `a signal is queued (${result})`);
  // No room in the host's queue (RLIMIT_SIGPENDING): as where a process sends it, the signal comes without what it says.
  if (result === EAGAIN) injectCall(guest, Sys.tgkill, [guest.image.pid, guest.image.pid, signalOf(info)]);
}
