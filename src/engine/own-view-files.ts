import { readlinkSync } from "node:fs";
import { isOwnView } from "../forward/mod.ts";

/** open(2), openat(2), openat2(2). */
const OPENING: ReadonlySet<number> = new Set([2, 257, 437]);

/** Whether an open led, by a link or a relative path, to a file of /proc that is true only of a process that is here. */
export function openedOwnView(pid: number, nr: number, fd: bigint): boolean {
  if (!OPENING.has(nr)) return false;
  try {
    const path = readlinkSync(`/proc/${pid}/fd/${fd}`);
    return path.startsWith("/proc/") && isOwnView(Buffer.from(path), { pid, tid: pid, reservedFds: [] });
  } catch {
    // Closed by a signal handler meanwhile: nobody reads it.
    return false;
  }
}
