import { proc, SysError } from "../sys/mod.ts";
import { TeselaError, toTeselaError } from "../base/mod.ts";

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

/** Whatever step it was that a process's end made impossible, the end is the reason. */
export function whatHappened(e: unknown, pid: number): TeselaError {
  const error = toTeselaError(e);
  if (error.code === "E_GONE") return error;
  // Its first thread alone has ended.
  if (Array.isArray(error.details.reasons) && error.details.reasons.includes("leader_exit")) return error;
  // On its way out its memory goes first: what is asked about that ends in ESRCH, though it is still listed.
  const leaving = (e as NodeJS.ErrnoException).code === "ESRCH";
  if (proc.exists(pid) && !leaving) return error;
  return new TeselaError("E_GONE", `process ${pid} ended while it was to be moved`, { pid }, { cause: error });
}

/** @throws what the work throws; TeselaError E_TIMEOUT after so long */
export async function within<T>(ms: number, work: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await Promise.race([
      work,
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new TeselaError("E_TIMEOUT", `${what} (${ms} ms)`)), ms);
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}
