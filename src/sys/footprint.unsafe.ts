import { readFileSync } from "node:fs";
import { NR } from "../abi/mod.ts";
import { mallocTrim, syscall } from "./libc.unsafe.ts";

/** This process's own resident memory, and what of it can be had again when it is needed. */

const MADV_DONTNEED = 4;
/** A mapping with less than this in memory is not worth a call. */
const WORTH_KIB = 256;
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)/;

/**
 * Gives back the heap's free pages, and lets go of the code and the constants that are in memory: most of a program file is used when
 * it starts and never again. What is used again is mapped again, from the page cache, at the cost of a fault for 64 KiB.
 */
export function giveBackMemory(): void {
  mallocTrim(0);
  for (const { start, end } of cleanFileMappings(readFileSync("/proc/self/smaps", "utf8"))) {
    syscall("madvise", NR.madvise, start, end - start, MADV_DONTNEED);
  }
}

/** The private mappings in a text of /proc/PID/smaps that are as their file is and cannot be written: all their pages are the file's. */
export function cleanFileMappings(smaps: string): { start: bigint; end: bigint }[] {
  const found: { start: bigint; end: bigint }[] = [];
  for (const block of smaps.split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)) {
    const [, start, end, mode = "", inode] = MAPPING.exec(block) ?? [];
    const kib = (name: string): number => Number(new RegExp(`^${name}: +(\\d+) kB$`, "m").exec(block)?.[1] ?? Number.NaN);
    if (inode === "0" || mode[1] !== "-" || mode[3] !== "p" || kib("Anonymous") !== 0 || kib("Swap") !== 0) continue;
    if (kib("Rss") >= WORTH_KIB) found.push({ start: BigInt(`0x${start}`), end: BigInt(`0x${end}`) });
  }
  return found;
}
