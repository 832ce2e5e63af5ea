import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { MiB } from "../base/mod.ts";
import { addressOfBytes } from "../sys/mod.ts";
import { HUGE, HugePages, hugeRanges } from "./huge.ts";

const never = /\[never\]/.test(readFileSync("/sys/kernel/mm/transparent_hugepage/enabled", "utf8"));
const unprivileged = process.getuid?.() !== 0;
const skip = never ? "this kernel makes no huge pages" : unprivileged ? "process_madvise(2) needs CAP_SYS_NICE" : false;

/** What /proc/PID/smaps says of the area that holds an address (proc_pid_smaps(5)). */
function areaOf(addr: bigint): { start: bigint; end: bigint; huge: number; flags: string } {
  for (const text of readFileSync("/proc/self/smaps", "utf8").split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)) {
    const [start, end] = (/^([0-9a-f]+)-([0-9a-f]+)/.exec(text) ?? []).slice(1).map((x) => BigInt(`0x${x}`)) as [bigint, bigint];
    if (addr < start || addr >= end) continue;
    return { start, end, huge: Number(/^AnonHugePages: +(\d+)/m.exec(text)?.[1]) * 1024, flags: /^VmFlags: (.*)$/m.exec(text)?.[1] ?? "" };
  }
  throw new Error("no such area");
}

test("memory that is about to be filled gets huge pages, and stays one area without a mark", { skip }, () => {
  const bytes = Buffer.allocUnsafeSlow(32 * MiB);
  const start = (addressOfBytes(bytes) + HUGE - 1n) & ~(HUGE - 1n);
  const range = { start, end: start + 8n * HUGE };
  const before = areaOf(start);
  using pages = new HugePages(process.pid, [range]);
  pages.before(start, start + 4096n);
  pages.before(start + 4096n, range.end);
  const { huge, flags, ...area } = areaOf(start);
  assert.deepEqual(area, { start: before.start, end: before.end });
  assert.equal(huge - before.huge, Number(range.end - range.start));
  assert.doesNotMatch(flags, /\bhg\b/);
  assert.ok(bytes.length > 0);
});

test("what was written already is not touched", { skip }, () => {
  const bytes = Buffer.alloc(16 * MiB, 7);
  const start = (addressOfBytes(bytes) + HUGE - 1n) & ~(HUGE - 1n);
  using pages = new HugePages(process.pid, [
    { start, end: start + HUGE },
    { start: start + 2n * HUGE + 4096n, end: start + 4n * HUGE },
  ]);
  // Out of order: the second piece lies before the first.
  pages.before(start + HUGE, start + HUGE + 4096n);
  pages.before(start, start + 4096n);
  pages.before(start + 2n * HUGE, start + 4n * HUGE);
  assert.ok(bytes.every((b) => b === 7));
});

test("only whole huge pages count", () => {
  assert.deepEqual(hugeRanges([{ addr: 4096n, pages: 1000 }]), []);
  assert.deepEqual(hugeRanges([{ addr: HUGE - 4096n, pages: 1024 }]), [{ start: HUGE, end: 2n * HUGE }]);
});
