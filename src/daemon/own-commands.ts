import { readFileSync, readlinkSync } from "node:fs";
import type { ProcessStat } from "../load/mod.ts";

/** Of this package, or of another that the same Node is of. */
const MAIN = "/src/cli/main.ts";
/** What a command takes is far below this; what takes more is work. CPU time, milliseconds. */
const PASSING_MS = 1000;

/**
 * Whether that is a command of Tesela (`tesela run` as it starts a program, `nodes`, ...): it is over before anybody could go out of its way, so it is no load.
 * Where many programs are begun at once those commands would be most of it.
 */
export function isOwnCommand(pid: number, { threads, cpuMs }: Pick<ProcessStat, "threads" | "cpuMs">): boolean {
  // Node has threads from its beginning: most others need not be looked at.
  if (threads < 2 || cpuMs > PASSING_MS) return false;
  try {
    if (readlinkSync(`/proc/${pid}/exe`) !== process.execPath) return false;
    return readFileSync(`/proc/${pid}/cmdline`, "utf8")
      .split("\0")
      .slice(1)
      .some((argument) => argument.endsWith(MAIN));
  } catch {
    // It has ended, or is none that this node may look at.
    return false;
  }
}
