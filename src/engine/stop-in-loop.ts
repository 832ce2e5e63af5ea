import { isEnd, ptrace, type Tracees, type WaitStatus } from "../sys/mod.ts";

/**
 * Stops an idle deputy in its loop; nobody else has its stops claimed afterwards. Signals that come first are handed out.
 * @returns false when it ended instead
 */
export async function stopInLoop(tracees: Tracees, pid: number, onSignal: (signal: number) => void): Promise<boolean> {
  tracees.release(pid);
  ptrace.interrupt(pid);
  for (;;) {
    const s = await new Promise<WaitStatus>((resolve) => tracees.claim(pid, resolve));
    tracees.release(pid);
    if (isEnd(s)) return false;
    if (s.kind === "event" && s.event === ptrace.Event.STOP) return true;
    // Any other stop may have made the kernel forget the one that was asked for.
    ptrace.interrupt(pid);
    if (s.kind === "signal") onSignal(s.signal);
    else ptrace.cont(pid);
  }
}
