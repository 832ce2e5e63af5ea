import { proc, SysError } from "../sys/mod.ts";
import { TeselaError } from "../base/mod.ts";

/** The codes with which the kernel says that a task or its /proc files are gone. */
const GONE: ReadonlySet<string> = new Set(["ESRCH", "ENOENT"]);

/**
 * Does something for one process of many: an error in it ends that process and no other. A task that has ended in the
 * middle is no error, its end is told by its last stop. What a peer did wrong is the peer's affair and is thrown on.
 * @param end called with the reason, for a process that cannot go on
 */
export function forOne(pid: number, end: (reason: string) => void, work: () => void): void {
  try {
    work();
  } catch (e) {
    if (e instanceof TeselaError && e.code === "E_PROTOCOL") throw e;
    const code = e instanceof SysError ? e.code : (e as NodeJS.ErrnoException).code;
    if (code !== undefined && GONE.has(code) && !proc.exists(pid)) return;
    end(`an error in its engine: ${e instanceof Error ? e.message : String(e)}`);
  }
}
