import { proc } from "../sys/mod.ts";

/** PF_KTHREAD of include/linux/sched.h: flags are field 9 of proc_pid_stat(5). */
const PF_KTHREAD = 0x0020_0000n;
const FLAGS_FIELD = 9;
const INIT = 1;

/**
 * Processes that the node itself stands on: its init, kernel threads, and Tesela's own. Away, they would take it down with the node that
 * they went to.
 */
export function isSystem(pid: number, own: readonly number[]): boolean {
  if (pid === INIT || own.includes(pid)) return true;
  try {
    return (proc.readStat(pid).field(FLAGS_FIELD) & PF_KTHREAD) !== 0n;
  } catch (e) {
    // Gone: whoever asks next finds that out.
    if (["ENOENT", "ESRCH"].includes((e as NodeJS.ErrnoException).code ?? "")) return false;
    throw e;
  }
}
