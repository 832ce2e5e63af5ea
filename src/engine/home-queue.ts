import type { Log } from "../base/mod.ts";
import { isErrno } from "../sys/mod.ts";
import type { Deputy } from "./deputy.ts";
import { signalOf } from "./guest-build.ts";
import { Sys } from "./numbers.ts";
import { isSameSignal, isThreadDirected, without } from "./signals.ts";

/**
 * The queue of pending signals at home, as its deputy works on it while all signals are blocked. Others may send more at any
 * moment, so nothing here counts on being alone with it.
 */
const EAGAIN = -11n;
const SIGINFO_BYTES = 128;
const ALL = Buffer.alloc(8, 0xff);
const NO_TIME = Buffer.alloc(16);
const At = { set: 0n, time: 8n, info: 128n } as const;

/** Takes all out, oldest first for each number (rt_sigtimedwait(2) without waiting). */
async function takeAll(deputy: Deputy): Promise<Uint8Array[]> {
  const at = deputy.scratch;
  const taken: Uint8Array[] = [];
  deputy.poke(at, Buffer.concat([ALL, NO_TIME]));
  for (;;) {
    const r = await deputy.call(Sys.rtSigtimedwait, at + At.set, at + At.info, at + At.time, 8);
    if (r === EAGAIN) return taken;
    if (!isErrno(r)) taken.push(deputy.peek(at + At.info, SIGINFO_BYTES));
  }
}

async function put(deputy: Deputy, info: Uint8Array, toThread: boolean, log: Log): Promise<void> {
  const { pid, scratch } = deputy;
  deputy.poke(scratch, info);
  const signal = signalOf(info);
  const r = toThread
    ? await deputy.call(Sys.rtTgsigqueueinfo, pid, pid, signal, scratch)
    : await deputy.call(Sys.rtSigqueueinfo, pid, signal, scratch);
  if (isErrno(r)) log.warn("a pending signal was lost", { pid, signal, errno: Number(-r) });
}

/**
 * For a queue that is let out at once: `older` come before all that is in it, and what `known` holds, which the guest has in its own
 * queue by now, is taken out. All go to the thread's queue, which the kernel empties first: what comes meanwhile comes after.
 */
export async function putFirst(deputy: Deputy, older: readonly Uint8Array[], known: readonly Uint8Array[], log: Log): Promise<void> {
  if (older.length + known.length === 0) return;
  const newer = without(await takeAll(deputy), known);
  for (const info of [...older, ...newer]) await put(deputy, info, true, log);
}

/**
 * Puts signals where they belong, for them to stay: before those that have come meanwhile.
 * @returns all that is in the queue, in order; see {@link isInOrder}
 */
export async function putBack(deputy: Deputy, older: readonly Uint8Array[], log: Log): Promise<readonly Uint8Array[]> {
  if (older.length === 0) return older;
  const all = [...older, ...without(await takeAll(deputy), older)];
  for (const info of all) await put(deputy, info, isThreadDirected(info), log);
  return all;
}

/** Whether, for each real-time signal, `older` are at the front of its queue: one may have come while they were put back. */
export function isInOrder(queue: readonly Uint8Array[], older: readonly Uint8Array[]): boolean {
  const rest = [...queue];
  return older.every((info) => {
    const signal = signalOf(info);
    if (signal < SIGRTMIN) return true;
    const i = rest.findIndex((q) => signalOf(q) === signal);
    const first = rest[i];
    if (first === undefined || !isSameSignal(first, info)) return false;
    rest.splice(i, 1);
    return true;
  });
}
const SIGRTMIN = 32;
