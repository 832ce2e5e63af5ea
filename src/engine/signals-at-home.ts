import { toTeselaError } from "../base/mod.ts";
import { Fault, type Plan } from "../forward/mod.ts";
import { UC_SIGMASK } from "../image/mod.ts";
import { proc, ptrace, Reg } from "../sys/mod.ts";
import type { Guest } from "./guest.ts";
import { planned, standBy } from "./guest-calls.ts";
import type { InFlight } from "./guest-types.ts";
import { Sys } from "./numbers.ts";
import { SIGNALFD } from "./received-fds.ts";
import { signalBit } from "./signals.ts";

/**
 * A process with descriptors that read its signals (signalfd(2)) keeps in home's queues what its threads block: reads, poll(2) and
 * epoll(7) are home's, and look there. Its deputies bear the masks of their guests' threads, as each call brings them; a thread that lets
 * signals in has home told before it goes on. See docs/decisions/0057-signals-read-at-home.md.
 */

/** Raised by instructions too, in the guest: home's kernel would make them fatal where they are blocked (force_sig_info_to_task). */
const RAISED = [4, 5, 7, 8, 11, 31].reduce((set, signal) => set | signalBit(signal), 0n);
const ALL = 0xffff_ffff_ffff_ffffn;

/** Signals that wait at home where a thread blocks them. */
export const BEARABLE = ALL & ~RAISED;

/** Whether a process at home has such a descriptor. */
export const readsSignals = (pid: number): boolean => proc.listFds(pid).some((f) => f.target === SIGNALFD);

const SIGSET_BYTES = 8;
const SIGINFO_BYTES = 128;
const TIMESPEC_BYTES = 16;
const BAD = 8n;
const EFAULT = 14n;
const EINVAL = 22n;

/** The mask that a thread's deputy is told of with a call. */
export function maskTold(guest: Guest, { plan }: InFlight): bigint {
  const own = ptrace.getSigmask(guest.tid);
  if (!guest.process.signalsAtHome) return own;
  const mask = plan.sigmask ?? own;
  guest.borne |= mask & BEARABLE;
  return mask;
}

/** What the program does about its mask, or about what waits behind that. @returns false: not such a call */
export function signalCall(guest: Guest, nr: number, plan: Plan): boolean {
  if (plan.kind !== "local") return false;
  if (nr === Sys.rtSigpending) pending(guest);
  else if (nr === Sys.rtSigtimedwait) timedWait(guest);
  else if (nr === Sys.rtSigprocmask || nr === Sys.rtSigreturn || nr === Sys.rtSigsuspend) changeMask(guest, nr);
  else return false;
  return true;
}

/** The mask that a thread will have once its own kernel has made the call; null where that changes nothing or fails. */
function maskToBe({ regs, memory, tid }: Guest, nr: number): bigint | null {
  const [how = 0n, set = 0n, , size = 0n] = regs.args;
  const word = (at: bigint): bigint => memory.read(at, SIGSET_BYTES).readBigUInt64LE(0);
  try {
    if (nr === Sys.rtSigreturn) return word(regs.get(Reg.rsp) + BigInt(UC_SIGMASK));
    if (nr === Sys.rtSigsuspend) return set === BigInt(SIGSET_BYTES) ? word(how) : null;
    if (set === 0n || size !== BigInt(SIGSET_BYTES)) return null;
    const mask = ptrace.getSigmask(tid);
    return [mask | word(set), mask & ~word(set), word(set)][Number(BigInt.asIntN(32, how))] ?? null;
  } catch (e) {
    if (e instanceof Fault) return null;
    throw e;
  }
}

function changeMask(guest: Guest, nr: number): void {
  const mask = maskToBe(guest, nr);
  if (mask === null || (guest.borne & ~mask) === 0n) {
    guest.resumeCall();
    return;
  }
  if (!standBy(guest)) return;
  // What home lets in goes into the guest's own queue, and the call is made again: its kernel delivers before the call is over.
  letIn(guest, mask, [], () => {
    guest.rewindCall();
    guest.settle();
  });
}

const RETRY_MS = 5;

/**
 * Has home let signals in that the thread does not block any more, which it then hears of as of any; goes on when that is done.
 * @param back signals that the thread has come to block after all, for home's queue
 */
export function letIn(guest: Guest, mask: bigint, back: readonly Uint8Array[], done: () => void): void {
  guest.state = { kind: "busy" };
  guest.maskToBe = mask;
  const over = (): void => {
    if (guest.state.kind !== "busy") return;
    guest.guarded(() => {
      guest.maskToBe = null;
      done();
    });
  };
  const ask = (): void => {
    if (guest.state.kind !== "busy") return;
    guest.link.letIn(guest, guest.borne & mask, back).then(
      () => {
        guest.borne = (guest.borne & mask) | bits(back);
        over();
      },
      (e: unknown) => {
        if (toTeselaError(e).code !== "E_BUSY") guest.log.warn("home does not let a signal in", { pid: guest.pid, error: String(e) });
        if (guest.freezing) {
          // That is done where the thread goes on.
          for (const info of back) guest.signals.keep(info);
          over();
        } else setTimeout(ask, RETRY_MS);
      },
    );
  };
  ask();
}
const bits = (infos: readonly Uint8Array[]): bigint => infos.reduce((set, info) => set | signalBit(info[0] ?? 0), 0n);

/** A thread is about to go on, with the mask that it has: whether home has to hear of that first. */
export function letInFirst(guest: Guest, done: () => void): boolean {
  if (!guest.process.signalsAtHome) return false;
  const mask = ptrace.getSigmask(guest.tid);
  const back = guest.signals.takeBlocked(mask & BEARABLE);
  if ((guest.borne & ~mask) === 0n && back.length === 0) return false;
  letIn(guest, mask, back, done);
  return true;
}

/** rt_sigpending(2): home's, and what this kernel has. */
function pending(guest: Guest): void {
  const [set = 0n, size = 0n] = guest.regs.args;
  if (size > BigInt(SIGSET_BYTES)) {
    guest.finishCall(-EINVAL);
    return;
  }
  const here = [...ptrace.peekSiginfo(guest.tid, false), ...ptrace.peekSiginfo(guest.tid, true)];
  const mask = ptrace.getSigmask(guest.tid);
  const plan = planned(Sys.rtSigpending, [guest.area.base, BigInt(SIGSET_BYTES)], {
    outs: [{ offset: 0, length: SIGSET_BYTES }],
    finish: (result, out) => {
      if (result !== 0n) return { done: result };
      const all = Buffer.from(out);
      all.writeBigUInt64LE(all.readBigUInt64LE(0) | (bits(here) & mask), 0);
      return { done: written(guest, set, all.subarray(0, Number(size)), 0n) };
    },
  });
  guest.forward(Sys.rtSigpending, plan);
}

/** rt_sigtimedwait(2): home waits, where the signals are. */
function timedWait(guest: Guest): void {
  const [set = 0n, info = 0n, time = 0n, size = 0n] = guest.regs.args;
  const { base } = guest.area;
  const place = (address: bigint, length: number, at: bigint): [bigint, Buffer] => {
    if (address === 0n) return [0n, Buffer.alloc(length)];
    const bytes = guest.memory.readUpTo(address, length);
    return bytes.length < length ? [BAD, Buffer.alloc(length)] : [base + at, bytes];
  };
  const [setAt, setBytes] = place(set, SIGSET_BYTES, 0n);
  const [timeAt, timeBytes] = place(time, TIMESPEC_BYTES, BigInt(SIGSET_BYTES));
  const infoAt = SIGSET_BYTES + TIMESPEC_BYTES;
  const plan = planned(Sys.rtSigtimedwait, [setAt === 0n ? BAD : setAt, info === 0n ? 0n : base + BigInt(infoAt), timeAt, size], {
    blob: Buffer.concat([setBytes, timeBytes]),
    outs: info === 0n ? [] : [{ offset: infoAt, length: SIGINFO_BYTES }],
    blocking: true,
    restartOnEintr: true,
    ...(timeAt > BAD && { timeout: { kind: "timespec" as const, relative: true, areaOffset: SIGSET_BYTES } }),
    finish: (result, out) => ({ done: result > 0n && info !== 0n ? written(guest, info, out, result) : result }),
  });
  guest.forward(Sys.rtSigtimedwait, plan);
}

function written(guest: Guest, address: bigint, bytes: Uint8Array, result: bigint): bigint {
  try {
    guest.memory.write(address, bytes);
    return result;
  } catch (e) {
    if (e instanceof Fault) return -EFAULT;
    throw e;
  }
}

/** signalfd(2), signalfd4(2): with the first one a process comes home, and takes its signals along. */
export function signalfd(guest: Guest, nr: number): void {
  if (!guest.process.signalsAtHome) {
    guest.goBack(nr, "signalfd");
    return;
  }
  const [fd = 0n, set = 0n, size = 0n, flags = 0n] = guest.regs.args;
  const bytes = guest.memory.readUpTo(set, SIGSET_BYTES);
  const args = [guest.process.reservedFds.includes(Number(BigInt.asIntN(32, fd))) ? NEVER_OPEN : fd, guest.area.base, size, flags];
  if (bytes.length < SIGSET_BYTES) args[1] = BAD;
  guest.forward(nr, planned(nr, args, { blob: bytes, finish: (result) => ({ done: result }) }));
}
/** Above any fs.nr_open. */
const NEVER_OPEN = 0x7fffffffn;
