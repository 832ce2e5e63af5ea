import { TeselaError } from "../base/mod.ts";
import { isEnd, ptrace, type Tracees } from "../sys/mod.ts";
import { type Frozen, freeze, isGone } from "./freeze.ts";
import type { Track } from "./tracks.ts";

/** Attaches to a process at home, unless it stands at an exec of ours, and freezes it. @throws TeselaError E_GONE, E_BUSY, E_CANTMOVE */
export async function seizeAndFreeze(tracees: Tracees, track: Track): Promise<Frozen> {
  const { pid } = track;
  const atExec = track.seized;
  track.seized = false;
  try {
    if (!atExec) ptrace.seize(pid, ptrace.Option.TRACESYSGOOD);
  } catch (e) {
    if (isGone(e)) throw new TeselaError("E_GONE", `process ${pid} ended`, {}, { cause: e });
    throw new TeselaError("E_CANTMOVE", `process ${pid} cannot be traced: ${(e as Error).message}`, { reasons: ["traced"] });
  }
  try {
    ptrace.interrupt(pid);
    // Out of execve(2), whose return would still write a register.
    if (atExec) ptrace.cont(pid);
    return await freeze(tracees, pid);
  } catch (e) {
    letGo(tracees, pid);
    throw e;
  }
}

/** Detaches from a process that was stopped, or will stop some time: a running one cannot be left. */
export function letGo(tracees: Tracees, pid: number): void {
  const detach = (signal = 0): boolean => {
    try {
      ptrace.detach(pid, signal);
      return true;
    } catch (e) {
      if (!isGone(e)) throw e;
      return false;
    }
  };
  if (detach()) {
    tracees.release(pid);
    return;
  }
  tracees.claim(pid, (s) => {
    if (isEnd(s) || detach(s.kind === "signal" ? s.signal : 0)) tracees.release(pid);
  });
}
