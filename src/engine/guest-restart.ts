import { TeselaError } from "../base/mod.ts";
import { planCall } from "../forward/mod.ts";
import { ptrace, Reg, Regs, SYSCALL_INSN } from "../sys/mod.ts";
import { cutOf, isTimedFutex, RESTARTABLE_AWAY, restOfSleep, signalWaits } from "./freeze.ts";
import { fillUp } from "./filled-reads.ts";
import { Restart, sendOn } from "./restarts.ts";
import type { Guest } from "./guest.ts";
import { injectCall } from "./guest-inject.ts";
import type { InFlight } from "./guest-types.ts";
import { Sys } from "./numbers.ts";
import { letInFirst } from "./signals-at-home.ts";

/** How a guest's thread goes on in a call that a move has interrupted. */

const SYSCALL = Buffer.from([0x0f, 0x05]);

/** Lets a thread run that stands as it left where it was before. */
export function goOn(guest: Guest): void {
  if (letInFirst(guest, () => (guest.freezing ? guest.settle() : goOn(guest)))) return;
  if (guest.process.signalsAtHome) guest.signals.flush();
  const { tid, regs } = guest;
  ptrace.getRegs(tid, regs.bytes);
  guest.cut ??= cutOf(regs);
  if (!guest.restart) {
    guest.resume(0);
    return;
  }
  const { nr } = guest.restart;
  guest.restart = null;
  // As at the call's own stop, so that it ends or is repeated as any other.
  regs.set(Reg.origRax, BigInt(nr));
  if (signalWaits(tid)) {
    regs.set(Reg.rax, Restart.NOHAND);
    ptrace.setRegs(tid, regs.bytes);
    guest.resume(0);
    return;
  }
  repeatAtHome(guest, nr);
}

/**
 * The call was interrupted at home. With a handler waiting, this kernel sees the interrupted call when it delivers and
 * applies SA_RESTART; without, the call is simply made again.
 */
export function interruptedCall(guest: Guest, flight: InFlight, result: bigint): void {
  if (flight.handlerWaits) {
    if (guest.written) guest.finishCall(guest.written.done);
    else deliverInto(guest, flight, result);
    return;
  }
  // Not even begun at home, what was left to wait is still left.
  if ((result === Restart.BLOCK || flight.resumes) && RESTARTABLE_AWAY.has(flight.nr)) {
    if (!guest.freezing) {
      repeatAtHome(guest, flight.nr);
      return;
    }
    guest.restart = { nr: flight.nr };
    const { waitEnd } = guest;
    guest.finishCall(-EINTR);
    guest.waitEnd = waitEnd;
    return;
  }
  guest.rewindCall();
  // With that result home has not made it: it may have waited before.
  if (result !== Restart.NOINTR && !guest.written) {
    guest.cut = { rip: guest.regs.get(Reg.rip), nr: flight.nr, result: result === Restart.BLOCK ? Restart.NOHAND : result };
  }
  guest.settle();
}
const EINTR = 4n;

/**
 * Home's kernel goes on with a sleep or a poll that it began: restart_syscall(2) with the same data in place. A sleep that
 * tells the program how much is left begins with that: home's kernel remembers where to write it, and that may be gone.
 */
export function repeatAtHome(guest: Guest, nr: number): void {
  const { args } = guest.regs;
  const rest = restOfSleep(nr, args);
  const plan = planCall(nr, rest ?? args, guest.memory, guest.area, guest.context);
  if (plan.kind !== "forward") throw new TeselaError("E_INTERNAL", `call ${nr} cannot be restarted at home`);
  guest.forward(nr, rest ? plan : { ...plan, nr: Sys.restartSyscall, args: [0n, 0n, 0n, 0n, 0n, 0n] }, true);
}

/** At a stop of ours, which the thread's own call must not show: it is whole, or goes on. */
export function keepCall(guest: Guest): void {
  fillUp(guest.tid, guest.regs);
  keepFutex(guest);
}

/** A futex(2) that has a limit: only the kernel that it was called from can go on with it. */
function keepFutex({ tid, regs }: Guest): void {
  if (regs.syscallNumber !== Sys.futex || regs.result !== Restart.BLOCK) return;
  if (isTimedFutex(regs)) {
    // Its time is absolute: it begins again, wherever that is.
    regs.set(Reg.rax, Restart.NOHAND);
    ptrace.setRegs(tid, regs.bytes);
  } else sendOn(tid, Sys.futex, regs.get(Reg.rip) - SYSCALL_INSN);
}

/** Whether the thread's next step is a call that home makes, as it is after a move that has met one. */
export function standsBeforeCall({ regs, memory, area, context }: Guest): boolean {
  if (regs.syscallNumber >= 0 || !memory.readUpTo(regs.get(Reg.rip), SYSCALL.length).equals(SYSCALL)) return false;
  const nr = Number(BigInt.asIntN(32, regs.get(Reg.rax)));
  return planCall(nr, regs.args, memory, area, context).kind === "forward";
}

/** The signal-delivery-stop comes first thing, wanted frozen or not: a handler that ends a call has begun before the guest moves. */
export function deliverInto(guest: Guest, flight: InFlight, result: bigint): void {
  const { tid, regs } = guest;
  guest.signals.flush();
  // From the call's own stop the call would be made here.
  injectCall(guest, Sys.getpid, []);
  regs.set(Reg.rax, result === Restart.BLOCK ? Restart.NOHAND : result);
  ptrace.setRegs(tid, regs.bytes);
  const mask = flight.plan.sigmaskPtr ?? 0n;
  if (mask !== 0n) {
    regs.set(Reg.rax, Restart.NOHAND);
    guest.standIn = regs.clone();
    lookAgain(guest);
    const wait = regs.clone();
    wait.set(Reg.rdi, mask);
    wait.set(Reg.rsi, SIGSET_BYTES);
    Regs.repeat(wait, Sys.rtSigsuspend);
    ptrace.setRegs(tid, wait.bytes);
  }
  guest.state = { kind: "running" };
  ptrace.cont(tid);
}
const SIGSET_BYTES = 8n;

/** A signal that is pending for all threads comes to one of them within microseconds. */
const LOOK_AGAIN_MS = 2;
/** Where a signal's stop is awaited, another thread may have taken the signal: then there is a stop of ours after a while. */
function lookAgain(guest: Guest): void {
  if (guest.process.threads.size === 1) return;
  setTimeout(() => {
    if (guest.state.kind === "running" && (guest.onFrozen || guest.standIn)) guest.guarded(() => ptrace.interrupt(guest.tid));
  }, LOOK_AGAIN_MS);
}

/** The same at a stop of ours that comes too early. */
export function contAndLook(guest: Guest): void {
  lookAgain(guest);
  ptrace.cont(guest.tid);
}
