import { proc } from "../sys/mod.ts";

/** Signals whose default action writes a core file (signal(7)). */
const DUMPING: ReadonlySet<number> = new Set([3, 4, 5, 6, 7, 8, 11, 24, 25, 31]);

/** A core file must hold the program's memory, so it can be written at home only. */
export function wantsCore(pid: number, signal: number): boolean {
  if (!DUMPING.has(signal)) return false;
  return (proc.readLimits(pid).get("Max core file size")?.[0] ?? 0n) !== 0n;
}
