import { readdirSync, readFileSync } from "node:fs";
import { TeselaError } from "../base/mod.ts";
import { libc, proc } from "../sys/mod.ts";

/**
 * Programs number things by CPU: where they run they ask without a call (getcpu(2) in the vdso, rseq), and how many there can be they
 * have asked at home. So a guest runs on CPUs only whose numbers its home could have, too.
 */

/** `0-3,8` as the kernel writes sets of CPUs. */
export function parseCpuList(text: string): number[] {
  return text
    .trim()
    .split(",")
    .filter(Boolean)
    .flatMap((range) => {
      const [first = 0, last = first] = range.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
}

/** One past the highest CPU number that this machine can ever have. */
export const possibleCpus = (): number => 1 + Math.max(0, ...parseCpuList(readFileSync("/sys/devices/system/cpu/possible", "utf8")));

/** Words of a CPU set. */
const WORD_BITS = 64;

/** Keeps a process, all its threads, on CPUs below `cpus`. @throws TeselaError E_CANTMOVE when there are none that it may use */
export function keepBelow(pid: number, cpus: number): void {
  if (possibleCpus() <= cpus) return;
  for (const tid of readdirSync(`/proc/${pid}/task`).map(Number)) {
    const mine = parseCpuList(proc.statusField(proc.readStatus(tid), "Cpus_allowed_list") ?? "").filter((n) => n < cpus);
    if (mine.length === 0) {
      throw new TeselaError("E_CANTMOVE", `all CPUs here have numbers that the home of ${cpus} CPUs has not`, { reasons: ["cpu_numbers"] });
    }
    const set = Buffer.alloc(8 * Math.ceil(cpus / WORD_BITS));
    for (const n of mine) set.writeUInt8(set.readUInt8(n >> 3) | (1 << (n & 7)), n >> 3);
    libc.must("sched_setaffinity", libc.schedSetaffinity(tid, set.length, set));
  }
}
