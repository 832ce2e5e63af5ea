import { readFileSync } from "node:fs";
import { GLIBC_FEATURES, PORTABLE, programFeatures } from "../abi/mod.ts";

/** This machine's CPU features, but those that mean nothing to programs. */
export function readFeatures(): Set<string> {
  return programFeatures(/^flags\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "");
}

/**
 * The features that a process of this node may be using: all, since programs ask the CPU themselves; or, when `tesela run --portable` started it
 * or what it descends from, those that glibc was left with. A program that has overwritten its environment counts as one of the former.
 */
export function neededFeatures(pid: number, own: ReadonlySet<string>): { cpu: string[]; portable?: true } {
  const mark = readEnvironment(pid).find((v) => v.startsWith(`${PORTABLE}=`));
  const bits = Number.parseInt(mark?.slice(PORTABLE.length + 1) ?? "", 16);
  if (Number.isNaN(bits)) return { cpu: [...own] };
  const cpu = GLIBC_FEATURES.filter(([flag], i) => (bits >>> i) & 1 && own.has(flag)).map(([flag]) => flag);
  return { cpu, portable: true };
}

function readEnvironment(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
  } catch {
    return [];
  }
}
