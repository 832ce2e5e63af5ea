import type { Log } from "../base/mod.ts";
import { isErrno, proc } from "../sys/mod.ts";
import type { Deputy } from "./deputy.ts";
import { ALL_SIGNALS, pendingSignals } from "./freeze.ts";
import { signalOf } from "./guest-build.ts";
import { Sys } from "./numbers.ts";
import { isOfThread, isSameSignal, isThreadDirected, signalBit } from "./signals.ts";
import { comesAgain, foldTicks, hasComeAgain, isTick, without } from "./ticks.ts";

/**
 * The queue of pending signals at home, as its deputy works on it while all signals are blocked. Others may send more at any
 * moment, so nothing here counts on being alone with it.
 */
const EAGAIN = -11n;
const SIGINFO_BYTES = 128;
const NONE = Buffer.alloc(4);
const NO_TIME = Buffer.alloc(16);
const At = { set: 0n, time: 8n, info: 128n } as const;

/** Signals handled with one wake-up of the deputy: what sends them must not be faster. Their places end before {@link Deputy.setMask}'s. */
const BATCH = 30;
const SLOTS = Array.from({ length: BATCH }, (_, i) => At.info + BigInt(i * SIGINFO_BYTES));

/** SIGCONT and the signals that stop: the kernel has them undo each other where they wait (signal(7)). */
export const JOB_CONTROL = [18, 19, 20, 21, 22].reduce((set, signal) => set | signalBit(signal), 0n);

const CONTINUES = signalBit(18);

/** What is left of signals that are older than a stop or a continuation which has come since: these undo one another. */
function notUndone(older: readonly Uint8Array[], since: { readonly stop: boolean; readonly pending: bigint }): readonly Uint8Array[] {
  const continued = (since.pending & CONTINUES) !== 0n;
  const undone = (since.stop ? CONTINUES : 0n) | (continued ? JOB_CONTROL & ~CONTINUES : 0n);
  return older.filter((info) => (signalBit(signalOf(info)) & undone) === 0n);
}

export const isJobControl = (info: Uint8Array): boolean => (signalBit(signalOf(info)) & JOB_CONTROL) !== 0n;

/**
 * Takes all out but those of a sigset and of job control, oldest first for each number (rt_sigtimedwait(2) without waiting). Out of the
 * queue a continuation would not be undone by the next stop, and put back it would undo one that came after it.
 */
export async function takeAll(deputy: Deputy, except = 0n): Promise<Uint8Array[]> {
  let wanted = ALL_SIGNALS & ~except & ~JOB_CONTROL;
  const at = deputy.scratch;
  const taken: Uint8Array[] = [];
  const timers: Uint8Array[] = [];
  const calls = SLOTS.map((slot) => ({ nr: Sys.rtSigtimedwait, args: [at + At.set, at + slot, at + At.time, 8] }));
  for (;;) {
    const set = Buffer.alloc(8);
    set.writeBigUInt64LE(wanted);
    deputy.poke(at, Buffer.concat([set, NO_TIME]));
    const results = await deputy.calls(calls);
    const some = SLOTS.filter((_, i) => !isErrno(results[i] ?? EAGAIN)).map((slot) => deputy.peek(at + slot, SIGINFO_BYTES));
    taken.push(...some);
    if (results.includes(EAGAIN)) return taken;
    for (const info of some.filter(comesAgain)) {
      // Without end, if it is fast. What waited before its second signal has been taken by then.
      if (timers.some((other) => hasComeAgain(other, info))) wanted &= ~signalBit(signalOf(info));
      else timers.push(info);
    }
  }
}

async function putAll(deputy: Deputy, infos: readonly Uint8Array[], toThread: (info: Uint8Array) => boolean, log: Log): Promise<void> {
  const { pid, tid, scratch } = deputy;
  for (let from = 0; from < infos.length; from += BATCH) {
    const part = infos.slice(from, from + BATCH);
    deputy.poke(scratch + At.info, Buffer.concat(part));
    const results = await deputy.calls(
      part.map((info, i) => {
        const [signal, at] = [signalOf(info), scratch + (SLOTS[i] ?? 0n)];
        return toThread(info)
          ? { nr: Sys.rtTgsigqueueinfo, args: [pid, tid, signal, at] }
          : { nr: Sys.rtSigqueueinfo, args: [pid, signal, at] };
      }),
    );
    results.forEach((r, i) => {
      if (isErrno(r)) log.warn("a pending signal was lost", { pid, signal: signalOf(part[i] ?? NONE), errno: Number(-r) });
    });
  }
}

/**
 * Whose the signals are that are about to be taken out by a thread which is not the first: its own, or for whichever takes them. Which
 * queue a number waits in is known beforehand; where it waits in both, the signal itself has to tell.
 */
export function ownership({ pid, tid }: Deputy): (info: Uint8Array) => boolean {
  const status = proc.readStatus(tid);
  const [own, shared] = ["SigPnd", "ShdPnd"].map((name) => BigInt(`0x${proc.statusField(status, name) ?? "0"}`));
  return (info) => {
    const bit = signalBit(signalOf(info));
    const [inOwn, inShared] = [((own ?? 0n) & bit) !== 0n, ((shared ?? 0n) & bit) !== 0n];
    return inOwn === inShared ? isOfThread(info, pid, tid) : inOwn;
  };
}

/**
 * For a thread's queue that is let out at once: `older` come before all that is in it, and what `known` holds, which the guest has in its
 * own queue by now, is taken out. All go to the thread's queue, which the kernel empties first: what comes meanwhile comes after.
 * What waits for the process comes to its `leader`. What is in `except` stays where it is.
 */
export async function putFirst(
  deputy: Deputy,
  leader: Deputy,
  older: readonly Uint8Array[],
  known: readonly Uint8Array[],
  log: Log,
  except = 0n,
): Promise<void> {
  if (older.length + known.length === 0) return;
  const own = deputy === leader ? () => true : ownership(deputy);
  const newer = without(await takeAll(deputy, except), known);
  await putAll(deputy, foldTicks([...older, ...newer.filter(own)]), () => true, log);
  if (deputy !== leader)
    await putAll(
      leader,
      newer.filter((info) => !own(info)),
      () => true,
      log,
    );
}

/** Puts blocked signals where they belong, for them to stay: before those of their numbers that have come meanwhile. */
export async function putOlder(deputy: Deputy, older: readonly Uint8Array[], log: Log): Promise<void> {
  if (older.length === 0) return;
  const numbers = older.reduce((set, info) => set | signalBit(signalOf(info)), 0n);
  const own = ownership(deputy);
  const newer = await takeAll(deputy, ~numbers);
  const isOwn = (info: Uint8Array): boolean => (newer.includes(info) ? own(info) : isOfThread(info, deputy.pid, deputy.tid));
  await putAll(deputy, foldTicks([...older, ...newer]), isOwn, log);
}

/**
 * Puts signals into the queue of a thread that is not the first, to stay there, before those that have come to it meanwhile.
 * @returns what was taken out with them and is not the thread's: the process's
 */
export async function putOwn(deputy: Deputy, older: readonly Uint8Array[], log: Log): Promise<readonly Uint8Array[]> {
  if (older.length === 0) return older;
  const own = ownership(deputy);
  const newer = await takeAll(deputy);
  await putAll(deputy, foldTicks([...older, ...newer.filter(own)]), () => true, log);
  return newer.filter((info) => !own(info));
}

/**
 * Puts signals where they belong, for them to stay: before those that have come meanwhile. In a flood they go to the front in the end.
 * @param queued what the last round has put there; two signals may be alike in all, so what is not in the queue yet must not be among these
 * @param kept what is not there
 * @param state `stop`: whether a SIGSTOP has come since
 * @returns all that is in the queue, in order; see {@link isInOrder}
 */
export async function putBack(
  deputy: Deputy,
  queued: readonly Uint8Array[],
  kept: readonly Uint8Array[],
  state: { readonly round: number; readonly stop: boolean },
  log: Log,
): Promise<readonly Uint8Array[]> {
  const older = notUndone([...queued, ...kept], { stop: state.stop, pending: pendingSignals(deputy.pid) });
  if (older.length === 0) return older;
  if (state.round >= ORDERLY_ROUNDS) {
    await putFirst(deputy, deputy, older, queued, log);
    return older;
  }
  const all = foldTicks([...older, ...without(await takeAll(deputy), queued)]);
  await putAll(deputy, all, isThreadDirected, log);
  return all;
}

/**
 * Whether `older` are at the front of the queue, each real-time signal of its number and a timer's with all its ticks: one may have come while they
 * were put back, and then a standard signal was not put back at all (kernel/signal.c, legacy_queue).
 */
export function isInOrder(queue: readonly Uint8Array[], older: readonly Uint8Array[]): boolean {
  const rest = [...queue];
  return older.every((info) => {
    const signal = signalOf(info);
    if (signal < SIGRTMIN && !isTick(info)) return true;
    const i = rest.findIndex((q) => signalOf(q) === signal);
    const first = rest[i];
    if (first === undefined || !isSameSignal(first, info) || without([info], [first]).length > 0) return false;
    rest.splice(i, 1);
    return true;
  });
}
const SIGRTMIN = 32;

/** After so many tries, in a flood, they go to the thread's own queue, which is emptied before the one that fills. */
export const ORDERLY_ROUNDS = 3;
