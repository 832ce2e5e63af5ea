import assert from "node:assert/strict";
import { test } from "node:test";
import { cleanFileMappings, giveBackMemory } from "./footprint.unsafe.ts";
import { libc } from "./mod.ts";

const mapping = (head: string, kib: Record<string, number>): string =>
  `${head}\n${Object.entries({ Size: 4096, Rss: 4096, Anonymous: 0, Swap: 0, ...kib })
    .map(([name, n]) => `${`${name}:`.padEnd(16)}${String(n).padStart(8)} kB`)
    .join("\n")}\nVmFlags: rd mr mw me\n`;

test("only private mappings that hold nothing but their file are let go", () => {
  const smaps = [
    mapping("00400000-00800000 r-xp 00000000 08:01 77                          /usr/bin/node", {}),
    mapping("00800000-00c00000 r--p 00400000 08:01 77                          /usr/bin/node", { Anonymous: 4 }),
    mapping("00c00000-01000000 r--p 00400000 08:01 77                          /usr/bin/node", { Swap: 4 }),
    mapping("01000000-01400000 rw-p 00800000 08:01 77                          /usr/bin/node", {}),
    mapping("01400000-01800000 r--s 00800000 08:01 78                          /usr/share/names", {}),
    mapping("01800000-01c00000 r-xp 00000000 00:00 0 ", {}),
    mapping("01c00000-02000000 r--p 00000000 08:01 79                          /usr/lib/small.so", { Rss: 16 }),
    mapping("7f0000000000-7f0000400000 r--p 00000000 08:01 80                  /usr/lib/large.so", {}),
  ].join("");
  assert.deepEqual(cleanFileMappings(smaps), [
    { start: 0x400000n, end: 0x800000n },
    { start: 0x7f0000000000n, end: 0x7f0000400000n },
  ]);
});

test("memory is given back, and everything goes on", () => {
  const before = process.memoryUsage.rss();
  giveBackMemory();
  const after = process.memoryUsage.rss();
  assert.ok(after < before, `${after} bytes instead of ${before}`);
  assert.equal(libc.fcntl(-1, 1, 0), -1);
  assert.equal(JSON.parse(JSON.stringify({ a: [1, 2, 3] })).a.length, 3);
});
