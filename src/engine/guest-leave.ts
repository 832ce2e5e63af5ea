import { returnedMask, LOCAL_VDSO_END, standsAt, THUNKS_AT } from "../image/mod.ts";
import { isErrno, ptrace, Reg, Regs } from "../sys/mod.ts";
import type { Guest } from "./guest.ts";
import { injectCall } from "./guest-inject.ts";
import { Sys } from "./numbers.ts";
import { isFault } from "./signals.ts";
import { SKELETON_ARGS } from "./skeleton.ts";
import { type Came, stepOut } from "./vdso-exit.ts";

/**
 * Guests and the vdso: no thread leaves a node, and no handler of a signal interrupts it, in the middle of code that counts on this
 * machine's data. See docs/decisions/0053.
 */

/** Where the kernel's own vdso and our code for home's are. */
const OWN = { start: THUNKS_AT, end: LOCAL_VDSO_END } as const;
/** Long enough for a function of the vdso, short for a move. */
const RUN_ON_MS = 1;

const isHomes = ({ process }: Guest, rip: bigint): boolean => {
  const { vdso } = process.image;
  return vdso !== null && vdso.start <= rip && rip < vdso.end;
};

/**
 * A thread that has stopped to be carried off comes to where it can be.
 * @returns false for one that must run on a little first, and will be asked to stop again
 */
export function leavesVdso(guest: Guest): boolean {
  const { tid } = guest;
  const { vdso } = guest.process.options;
  if (!vdso) return true;
  const regs = new Regs();
  ptrace.getRegs(tid, regs.bytes);
  const rip = regs.get(Reg.rip);
  if (vdso.patched) {
    if (putBack(guest, regs)) return true;
  } else if (!isHomes(guest, rip)) return true;
  if (!guest.trapPending && comesOut(guest) !== "still in") return true;
  runOn(guest);
  return false;
}

function runOn(guest: Guest): void {
  guest.state = { kind: "running" };
  ptrace.cont(guest.tid);
  setTimeout(() => {
    if (guest.state.kind === "running") guest.guarded(() => ptrace.interrupt(guest.tid));
  }, RUN_ON_MS);
}

/**
 * Where the vdso here stands in for home's: a thread that has not begun its call is put back to where it was called.
 * @returns false for one that has
 */
function putBack(guest: Guest, regs: Regs): boolean {
  const { patched } = guest.process.options.vdso ?? {};
  const rip = regs.get(Reg.rip);
  const at = patched ? standsAt(rip, patched, OWN) : rip;
  if (at === null) return false;
  if (at !== rip) {
    regs.set(Reg.rip, at);
    ptrace.setRegs(guest.tid, regs.bytes);
  }
  return true;
}

/**
 * Home's own code may go on before a call of its own anywhere: nothing of the data is half read then. Code of ours must come out; the calls
 * that it makes are none that a filter stops, unless the program has jumped there by itself.
 */
function comesOut(guest: Guest): Came {
  const { patched } = guest.process.options.vdso ?? {};
  return stepOut(guest.tracees, guest.tid, insideOf(guest), Boolean(patched));
}

function insideOf(guest: Guest): (rip: bigint) => boolean {
  const { patched } = guest.process.options.vdso ?? {};
  return (rip) => isHomes(guest, rip) || (patched !== undefined && patched !== null && standsAt(rip, patched, OWN) === null);
}

/**
 * At the delivery-stop of a signal that has a handler: the thread comes out first, and meets the signal there.
 * @returns false when it has to be delivered anew, since the thread has come to another kind of stop
 */
export function outBeforeHandler(guest: Guest): boolean {
  const { tid, regs } = guest;
  const { vdso } = guest.process.options;
  if (!vdso || guest.trapPending || !insideOf(guest)(regs.get(Reg.rip))) return true;
  const info = ptrace.getSiginfo(tid);
  // Its own fault is where it is.
  if (isFault(info) || (vdso.patched && putBack(guest, regs))) return true;
  const came = comesOut(guest);
  if (came === "was out") return true;
  ptrace.getRegs(tid, regs.bytes);
  if (came !== "at call") {
    ptrace.setSiginfo(tid, info);
    return true;
  }
  guest.signals.keep(info);
  return false;
}

/**
 * At the delivery-stop of a signal: a thread that cannot go on in its vdso here, for home's data is not beside it, or that has given it a
 * bad pointer, can at home. Its registers are then as if it had come no further than there.
 */
export function faultsInVdso(guest: Guest): boolean {
  const { tid, regs } = guest;
  const { vdso } = guest.process.options;
  if (!vdso || !isFault(ptrace.getSiginfo(tid))) return false;
  const rip = regs.get(Reg.rip);
  const at = vdso.patched ? standsAt(rip, vdso.patched, OWN) : rip;
  if (at === null || !isHomes(guest, at)) return false;
  if (at !== rip) {
    regs.set(Reg.rip, at);
    ptrace.setRegs(tid, regs.bytes);
  } else if (vdso.patched) {
    const mask = maskBefore(guest);
    if (mask !== null) ptrace.setSigmask(tid, mask);
  }
  return true;
}

const FRAME_BYTES = 16 * 1024;
/**
 * The mask of a thread that has just come back from a handler into the middle of a function: to raise the fault the kernel has let that signal
 * in (kernel/signal.c, force_sig_info_to_task). The frame that it came back by is where it was.
 */
function maskBefore(guest: Guest): bigint | null {
  const { regs, memory } = guest;
  const rsp = regs.get(Reg.rsp);
  const below = rsp - BigInt(FRAME_BYTES);
  const onStack = returnedMask(memory.readUpTo(below, FRAME_BYTES), regs);
  if (onStack !== null || isErrno(injectCall(guest, Sys.sigaltstack, [0, SKELETON_ARGS]))) return onStack;
  const alt = memory.read(SKELETON_ARGS, 24);
  const [sp, size] = [alt.readBigUInt64LE(0), alt.readBigUInt64LE(16)];
  const used = size > BigInt(FRAME_BYTES) ? BigInt(FRAME_BYTES) : size;
  return returnedMask(memory.readUpTo(sp + size - used, Number(used)), regs);
}
