import { TeselaError } from "../base/mod.ts";
import { ptrace, type Tracees } from "../sys/mod.ts";

const SIGTRAP = 5;

/**
 * Attaches to a process and waits for it to become a program: `onProgram` runs with it stopped in its last execve(2).
 * Nothing else of it is disturbed. @throws TeselaError E_PERM
 */
export function followToExec(tracees: Tracees, pid: number, execs: number, onProgram: () => void): void {
  try {
    ptrace.seize(pid, ptrace.Option.TRACEEXEC | ptrace.Option.TRACESYSGOOD);
  } catch (e) {
    throw new TeselaError("E_PERM", `process ${pid} cannot be followed: ${(e as Error).message}`, {}, { cause: e });
  }
  let left = execs;
  tracees.claim(pid, (s) => {
    switch (s.kind) {
      case "exited":
      case "killed":
        tracees.release(pid);
        return;
      case "signal":
        ptrace.cont(pid, s.signal);
        return;
      case "syscall":
        ptrace.cont(pid);
        return;
      case "event":
        if (s.event === ptrace.Event.EXEC && --left === 0) onProgram();
        else if (s.event === ptrace.Event.STOP && s.signal !== SIGTRAP) ptrace.listen(pid);
        else ptrace.cont(pid);
    }
  });
}
