import { setTimeout as sleep } from "node:timers/promises";
import { TeselaError } from "../base/mod.ts";
import { isEnd, libc, proc, ptrace, type Tracees } from "../sys/mod.ts";
import { describe, type Frozen, type FrozenProcess, isGone, pendingSignals, resumeRegs, stopThread } from "./freeze.ts";
import { signalBit } from "./signals.ts";
import type { Track } from "./tracks.ts";
import { comeOut } from "./vdso-exit.ts";

/** One that starts threads without end is tried again later. */
const MAX_ROUNDS = 64;

/**
 * Attaches to every thread of a process at home, unless it stands at an exec of ours, and freezes them all.
 * @throws TeselaError E_GONE, E_BUSY, E_CANTMOVE
 */
export async function seizeAndFreeze(tracees: Tracees, track: Pick<Track, "pid" | "seized">): Promise<FrozenProcess> {
  const { pid } = track;
  const atExec = track.seized;
  track.seized = false;
  const seized = new Set<number>();
  if (atExec) seized.add(pid);
  const stopped = new Set<number>();
  const take = async (tid: number): Promise<void> => {
    if (!seized.has(tid)) {
      if (!seize(pid, tid)) return;
      seized.add(tid);
    }
    ptrace.interrupt(tid);
    // Out of execve(2), whose return would still write a register.
    if (atExec && tid === pid) ptrace.cont(tid);
    if (await stopThread(tracees, tid)) stopped.add(tid);
    else seized.delete(tid);
  };
  try {
    for (let round = 0; ; round++) {
      // A thread that was not stopped yet may have started others.
      const fresh = tasks(pid).filter((tid) => !stopped.has(tid));
      if (fresh.length === 0) break;
      // One that is ending needs a moment.
      if (round > 1) await sleep(1);
      if (round === MAX_ROUNDS) throw new TeselaError("E_BUSY", `process ${pid} starts threads faster than they can be stopped; try again`);
      const results = await Promise.allSettled(fresh.map(take));
      for (const r of results) if (r.status === "rejected") throw r.reason;
    }
    if (!stopped.has(pid)) throw new TeselaError("E_GONE", `process ${pid} ended`);
    comeOut(tracees, pid, stopped);
    return describeAll(pid, stopped);
  } catch (e) {
    for (const tid of seized) letGo(tracees, tid);
    throw e;
  }
}

/** @returns false for a thread that has ended */
function seize(pid: number, tid: number): boolean {
  try {
    ptrace.seize(tid, ptrace.Option.TRACESYSGOOD);
    return true;
  } catch (e) {
    if (tid !== pid && (isGone(e) || !proc.exists(tid))) return false;
    if (isGone(e)) throw new TeselaError("E_GONE", `process ${pid} ended`, {}, { cause: e });
    throw new TeselaError("E_CANTMOVE", `process ${pid} cannot be traced: ${(e as Error).message}`, { reasons: ["traced"] });
  }
}

function describeAll(pid: number, stopped: ReadonlySet<number>): FrozenProcess {
  const leader = describe(pid);
  const others: Frozen[] = [];
  for (const tid of stopped) if (tid !== pid) others.push(describe(tid));
  return { leader, others, pending: ptrace.peekSiginfo(pid, true) };
}

/** @throws TeselaError E_GONE */
function tasks(pid: number): number[] {
  try {
    return proc.listThreads(pid);
  } catch (e) {
    throw new TeselaError("E_GONE", `process ${pid} ended`, {}, { cause: e });
  }
}

/** Lets frozen threads go on as they were, the leader last. */
export function letAllGo(tracees: Tracees, pid: number, threads: readonly Frozen[]): void {
  for (const thread of [...threads].reverse()) {
    const { tid, sigmask, stopRequested } = thread;
    tracees.release(tid);
    ptrace.setRegs(tid, resumeRegs(thread).bytes);
    const continued = (pendingSignals(tid) & signalBit(SIGCONT)) !== 0n;
    ptrace.setSigmask(tid, sigmask);
    ptrace.detach(tid);
    if (stopRequested && !continued) libc.kill(pid, SIGSTOP);
  }
}
const SIGCONT = 18;
const SIGSTOP = 19;

/** Detaches from a thread that was stopped, or will stop some time: a running one cannot be left. */
export function letGo(tracees: Tracees, tid: number): void {
  const detach = (signal = 0): boolean => {
    try {
      ptrace.detach(tid, signal);
      return true;
    } catch (e) {
      if (!isGone(e)) throw e;
      return false;
    }
  };
  if (detach()) {
    tracees.release(tid);
    return;
  }
  tracees.claim(tid, (s) => {
    if (isEnd(s) || detach(s.kind === "signal" ? s.signal : 0)) tracees.release(tid);
  });
}
