/** What waitpid(2) reported about a tracee, decoded once (wait(2), ptrace(2) "Stopped states"). */
export type WaitStatus =
  | { kind: "exited"; code: number }
  | { kind: "killed"; signal: number; core: boolean }
  | { kind: "syscall" }
  | { kind: "event"; event: number; signal: number }
  | { kind: "signal"; signal: number };

/** True when the task is no more. */
export const isEnd = (s: WaitStatus): boolean => s.kind === "exited" || s.kind === "killed";

const SIGTRAP = 5;

export function decodeWait(status: number): WaitStatus {
  const low = status & 0x7f;
  if (low === 0) return { kind: "exited", code: (status >> 8) & 0xff };
  if ((status & 0xff) !== 0x7f) return { kind: "killed", signal: low, core: (status & 0x80) !== 0 };
  const event = (status >> 16) & 0xff;
  const signal = (status >> 8) & 0xff;
  if (event !== 0) return { kind: "event", event, signal };
  if (signal === (SIGTRAP | 0x80)) return { kind: "syscall" };
  return { kind: "signal", signal };
}
