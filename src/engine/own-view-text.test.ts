import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type GuestView, mapsText, statmText, statText, statusText, Untold } from "./own-view-text.ts";

const read = (file: string): string => readFileSync(`/proc/self/${file}`, "latin1");
const maps = `55a000000000-55a000001000 r-xp 00001000 08:01 42                         /usr/bin/program
55a000001000-55a000003000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000002000 r--p 00000000 08:01 43                         /usr/lib/a library
7f0000002000-7f0000003000 r--s 00002000 08:01 43                         /usr/lib/a library
7f0000003000-7f0000004000 rw-p 00000000 00:00 0~
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
`.replaceAll("~", " ");
/** Lines without a name end with a blank, which stands as ~ here. The same on another node: built anew, with its files in memory, its stack mapped to its limit, and pages of the engine's own. */
const there = `00010000-00011000 rw-p 00000000 00:00 0~
00011000-00012000 r-xp 00000000 00:00 0~
55a000000000-55a000001000 r-xp 00001000 00:01 7                          /memfd:x (deleted)
55a000001000-55a000003000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000003000 r--p 00000000 00:01 8                          /memfd:y (deleted)
7f0000003000-7f0000004000 rw-p 00000000 00:00 0~
7ffcff821000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
`.replaceAll("~", " ");
const EXTRA_KIB = 8 + 8192 - 132;
const guest: GuestView = {
  maps: there,
  stat: read("stat"),
  statm: "3000 20 10 1 0 2500 0\n",
  status:
    "VmPeak:\t   20000 kB\nVmSize:\t   12000 kB\nVmData:\t     100 kB\nVmStk:\t    8192 kB\nVmLib:\t      16 kB\nSigBlk:\t00000000000000ff\nvoluntary_ctxt_switches:\t5\n",
  stackStart: 0x7ffd00000000n,
  user: 1_230_000,
  system: 40_000,
};
const home = {
  maps,
  stat: "77 (a (b) c) S 1 77 77 0 -1 4194304 10 0 1 0 100 200 0 0 20 0 1 0 555 8192 2 18446744073709551615 1 2 3 0 0 1 2 3 4 5 0 0 17 0 0 0 0 0 0 6 7 8 9 10 11 12 0\n",
  status:
    "Name:\ta b\nState:\tS (sleeping)\nTracerPid:\t4711\nVmPeak:\t     900 kB\nVmSize:\t     800 kB\nVmData:\t       0 kB\nVmStk:\t     132 kB\nVmLib:\t       0 kB\nSigBlk:\t0000000000000000\nThreads:\t1\nvoluntary_ctxt_switches:\t7\n",
  reads: true,
};

test("areas have the names, rights and bounds that they have at home", () => {
  assert.equal(mapsText(guest, home), maps);
  assert.equal(
    mapsText(
      { ...guest, maps: read("maps"), stackStart: BigInt(`0x${/^([0-9a-f]+)-.*\[stack\]$/m.exec(read("maps"))?.[1]}`) },
      { ...home, maps: read("maps") },
    ).length > 0,
    true,
  );
});

test("a file that home does not know is not made up", () => {
  assert.throws(() => mapsText({ ...guest, maps: `${there}7fff00000000-7fff00001000 r--p 00000000 00:01 9  /memfd:z\n` }, home), Untold);
});

test("sizes, times and signals are those of both kernels together", () => {
  const stat = statText(guest, home);
  assert.match(stat, /^77 \(a \(b\) c\) R 1 77 77 /);
  const fields = stat.trimEnd().split(") ").at(-1)?.split(" ") ?? [];
  assert.equal(fields.length, home.stat.trimEnd().split(") ").at(-1)?.split(" ").length);
  const field = (n: number): number => Number(fields[n - 3]);
  const total = 0x1000 + 0x2000 + 0x3000 + 0x1000 + 0x21000;
  assert.deepEqual([field(14), field(15), field(23)], [100 + 123, 200 + 4, total]);
  assert.equal(statmText(guest, home), `${total / 4096} 20 10 1 0 ${2500 - (8192 - 132) / 4 - 1} 0\n`);
  const status = statusText(guest, home);
  assert.match(status, /^Name:\ta b\nState:\tR \(running\)\nTracerPid:\t0\n/);
  const kib = (key: string): number => Number(new RegExp(`^${key}:\\t *(\\d+) kB$`, "m").exec(status)?.[1]);
  assert.deepEqual(["VmPeak", "VmSize", "VmData", "VmStk", "VmLib"].map(kib), [20_000 - EXTRA_KIB, total / 1024, 96, 132, 12]);
  assert.match(status, /\nSigBlk:\t00000000000000ff\nThreads:\t1\nvoluntary_ctxt_switches:\t12\n$/);
});
