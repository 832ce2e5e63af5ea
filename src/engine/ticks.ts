import { ptrace } from "../sys/mod.ts";
import { signalOf } from "./guest-build.ts";
import { injectCall, queueSignal } from "./guest-inject.ts";
import type { Guest } from "./guest.ts";
import { Sys } from "./numbers.ts";
import { isSameSignal } from "./signals.ts";
import { place } from "./skeleton.ts";

/**
 * Signals of POSIX timers. As long as one of its signals waits, a timer sends no other, but counts how many it would have sent (timer_create(2),
 * si_overrun). At home they do not wait: each is asked about as it comes. Where they come to wait after all, the later ones are counted in the
 * first.
 */

/** siginfo_t (sigaction(2)): si_code, si_timerid, si_overrun. */
const CODE = 8;
const TIMER = 16;
const OVERRUN = 20;
const SI_TIMER = -2;
/** The kernel counts no further (DELAYTIMER_MAX). */
const MOST = 0x7fff_ffff;
const SIGTRAP = 5;

const view = (info: Uint8Array): Buffer => Buffer.from(info.buffer, info.byteOffset, info.length);
/** A siginfo_t that a POSIX timer sent. */
export const isTick = (info: Uint8Array): boolean => view(info).readInt32LE(CODE) === SI_TIMER;
/** 0 for all but a timer's signal. */
export const overrunOf = (info: Uint8Array): number => (isTick(info) ? view(info).readInt32LE(OVERRUN) : 0);
const isOfSameTimer = (a: Uint8Array, b: Uint8Array): boolean =>
  isTick(a) && isTick(b) && signalOf(a) === signalOf(b) && view(a).readInt32LE(TIMER) === view(b).readInt32LE(TIMER);

const SIGALRM = 14;
const SI_KERNEL = 0x80;
/** setitimer(2) sends as little as a POSIX timer does while one waits. */
const isAlarm = (info: Uint8Array): boolean => signalOf(info) === SIGALRM && view(info).readInt32LE(CODE) === SI_KERNEL;
/** Its timer is set anew when it is taken: one of a microsecond has sent the next before anybody has looked at this one. */
export const comesAgain = (info: Uint8Array): boolean => isTick(info) || isAlarm(info);
export const hasComeAgain = (a: Uint8Array, b: Uint8Array): boolean => isOfSameTimer(a, b) || (isAlarm(a) && isAlarm(b));

/** A signal that waits, with a later one of its timer in it. */
const withTick = (first: Uint8Array, later: Uint8Array): Buffer =>
  withOverrun(first, Math.min(overrunOf(first) + 1 + overrunOf(later), MOST));

function withOverrun(info: Uint8Array, overrun: number): Buffer {
  const other = Buffer.from(info);
  other.writeInt32LE(overrun, OVERRUN);
  return other;
}

/** Adds a signal to those that wait, or counts it in the one of its timer. */
export function addSignal(waiting: Uint8Array[], info: Uint8Array): void {
  // Of all others there may be very many.
  if (!isTick(info)) return void waiting.push(info);
  const at = waiting.findIndex((first) => isOfSameTimer(first, info));
  const first = waiting[at];
  if (first) waiting[at] = withTick(first, info);
  else waiting.push(info);
}

/** Signals that are to wait together, in order. */
export function foldTicks(infos: readonly Uint8Array[]): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (const info of infos) addSignal(out, info);
  return out;
}

/** What `list` holds beside the signals of `known`, in order; of a timer's signal that is in both, the ticks that are not in the former one. */
export function without(list: readonly Uint8Array[], known: readonly Uint8Array[]): Uint8Array[] {
  const left = [...known];
  return list.flatMap((info) => {
    const at = isTick(info) ? lastSeen(left, info) : left.findIndex((k) => isSameSignal(k, info));
    const [former] = at < 0 ? [] : left.splice(at, 1);
    if (!former) return [info];
    const more = overrunOf(info) - overrunOf(former);
    return more > 0 ? [withOverrun(info, more - 1)] : [];
  });
}

/** Which of the former looks at a timer's signal is the last. The count grows, and is in it only once it is taken out (kernel/time/posix-timers.c). */
function lastSeen(known: readonly Uint8Array[], info: Uint8Array): number {
  const counts = known.map((k) => (isSameSignal(k, info) && overrunOf(k) <= overrunOf(info) ? overrunOf(k) : -1));
  const most = counts.reduce((a, b) => Math.max(a, b), -1);
  return most < 0 ? -1 : counts.indexOf(most);
}

/** Puts a signal into the queue of a guest's own kernel, where one of its timer may wait: then that is taken out, with all of its number. */
export function queueTick(guest: Guest, info: Uint8Array, own: boolean): void {
  const signal = signalOf(info);
  const queued = (shared: boolean): boolean[] =>
    ptrace.peekSiginfo(guest.tid, shared).flatMap((other) => (signalOf(other) === signal ? [isOfSameTimer(other, info)] : []));
  const [mine, shared] = isTick(info) && signal !== SIGTRAP ? [queued(false), queued(true)] : [[], []];
  if (![...mine, ...shared].includes(true)) {
    queueSignal(guest, info, own);
    return;
  }
  // A thread takes its own first (kernel/signal.c, dequeue_signal).
  const out = [...mine.map(() => true), ...shared.map(() => false)].flatMap((isMine) => {
    const taken = take(guest, signal);
    return taken ? [{ taken, isMine }] : [];
  });
  const at = out.findIndex(({ taken }) => isOfSameTimer(taken, info));
  for (const [i, { taken, isMine }] of out.entries()) queueSignal(guest, i === at ? withTick(taken, info) : taken, isMine);
  // Another thread has taken it meanwhile.
  if (at < 0) queueSignal(guest, info, own);
}

const SIGINFO_BYTES = 128;
/** A sigset and no time, and the siginfo_t behind them. */
const INFO_AT = 24;

function take(guest: Guest, signal: number): Buffer | null {
  const asked = Buffer.alloc(INFO_AT + SIGINFO_BYTES);
  asked.writeBigUInt64LE(1n << BigInt(signal - 1), 0);
  const at = place(guest.tid, 0, asked);
  const result = injectCall(guest, Sys.rtSigtimedwait, [at, at + BigInt(INFO_AT), at + 8n, 8]);
  return result === BigInt(signal) ? guest.memory.read(at + BigInt(INFO_AT), SIGINFO_BYTES) : null;
}
