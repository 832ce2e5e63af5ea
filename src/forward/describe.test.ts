import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AT, CLOCK, F, NR, O, SEEK, SYMBOLS, syscallByName, SYSCALLS } from "../abi/mod.ts";
import { describeArguments, describeFilled, describeResult } from "./mod.ts";
import { FakeMemory } from "./testdata/fake-memory.ts";

const mem = new FakeMemory();
const call = (nr: number, ...args: (bigint | number)[]): string => {
  const registers = Array.from({ length: 6 }, (_, i) => BigInt.asUintN(64, BigInt(args[i] ?? 0)));
  return describeArguments(nr, registers, mem).join(", ");
};

describe("a call in words", () => {
  const path = mem.string("/etc/pass\twd");
  const bytes = mem.map(Buffer.from('a "quoted" line\nand much more of it'));
  const cases: readonly (readonly [string, string])[] = [
    [call(NR.openat, AT.FDCWD, path, O.RDWR | O.CREAT | O.CLOEXEC, 0o640), 'AT_FDCWD, "/etc/pass\\twd", O_RDWR|O_CREAT|O_CLOEXEC, 0640'],
    [call(NR.open, path, 0, 0), '"/etc/pass\\twd", O_RDONLY, 00'],
    [call(NR.open, 0x1234_5678_9000n, O.TMPFILE | O.WRONLY, 0), "0x123456789000, O_WRONLY|O_TMPFILE, 00"],
    [call(NR.write, 1, bytes, 35), '1, "a \\"quoted\\" line\\nand much more of"..., 35'],
    [call(NR.write, 1, bytes, 3), '1, "a \\"", 3'],
    [call(NR.write, -1, 0, 3), "-1, NULL, 3"],
    [call(NR.read, 0, bytes, 4096), `0, 0x${bytes.toString(16)}, 4096`],
    [call(NR.lseek, 3, -5, SEEK.END), "3, -5, SEEK_END"],
    [call(NR.fcntl, 3, F.GETFL, 0), "3, F_GETFL, NULL"],
    [call(NR.fcntl, 3, 12345, 0), "3, 12345, NULL"],
    [call(NR.ioctl, 0, 0x5413, 0x1000), "0, TIOCGWINSZ, 0x1000"],
    [call(NR.ioctl, 0, 0xc0ffee, 0x1000), "0, 0xc0ffee, 0x1000"],
    [call(NR.socket, 1, 0o2000000 | 1, 0), "AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0"],
    [call(NR.clock_nanosleep, CLOCK.MONOTONIC, 0, 0x1000, 0), "CLOCK_MONOTONIC, 0, 0x1000, NULL"],
    [call(NR.kill, 77, 15), "77, SIGTERM"],
    [call(NR.kill, -77, 0), "-77, 0"],
    [call(9999, 1, 2, 3, 4, 5, 6), "0x1, 0x2, 0x3, 0x4, 0x5, 0x6"],
  ];
  for (const [have, want] of cases) test(want, () => assert.equal(have, want));

  test("what came back", () => {
    const filled = describeFilled(NR.read, [3n, bytes, 4096n, 0n, 0n, 0n], 8n, mem);
    assert.deepEqual([...filled], [[1, '"a \\"quote"']]);
    assert.equal(describeFilled(NR.read, [3n, bytes, 4096n], -2n, mem).size, 0);
    assert.equal(describeFilled(NR.read, [3n, 0x7777_0000_0000n, 4096n], 8n, mem).get(1), "0x777700000000");
    assert.deepEqual([3n, 0n, -2n, 0x7f00_0000_0000n, (1n << 64n) - 2n].map(describeResult), [
      "3",
      "0",
      "-1 ENOENT",
      "0x7f0000000000",
      "-1 ENOENT",
    ]);
  });

  test("names are for arguments that exist", () => {
    for (const [name, at] of Object.entries(SYMBOLS)) {
      const row = syscallByName(name);
      assert.ok(row, name);
      for (const index of Object.keys(at)) assert.ok(row.args[Number(index)]?.kind === "int", `${name}, argument ${index}`);
    }
  });

  test("every call can be told, whatever its arguments are", () => {
    for (const { nr, name } of SYSCALLS) {
      for (const value of [0n, 1n, bytes, (1n << 64n) - 1n, 0x7777_0000_0000n]) {
        const args = Array.from({ length: 6 }, () => value);
        assert.equal(describeArguments(nr, args, mem).length, syscallByName(name)?.args.length);
      }
    }
  });
});
