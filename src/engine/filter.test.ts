import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SYSCALLS, type SyscallRow } from "../abi/mod.ts";
import { isNative } from "../forward/mod.ts";
import { FOREIGN_CALL, guestFilter } from "./filter.ts";
import { Sys } from "./numbers.ts";
import { DEPUTIES, MAPPING_CALLS, OWN_PAGES_END, touchesOwnPages } from "./own-pages.ts";

const TRACE = 0x7ff00000;
const ALLOW = 0x7fff0000;
const X86_64 = 0xc000003e;
/** linux/bpf_common.h: no longer programs are taken. */
const BPF_MAXINSNS = 4096;

const program = guestFilter({ shares: false, signalsAtHome: false });

/** A classic BPF machine as far as seccomp(2) goes; every jump must be forward and inside. */
function run(nr: number, arch: number, args: readonly bigint[]): number {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(nr >>> 0, 0);
  data.writeUInt32LE(arch, 4);
  args.forEach((a, i) => {
    data.writeBigUInt64LE(a, 16 + 8 * i);
  });
  let a = 0;
  let x = 0;
  for (let pc = 0; pc < program.length / 8; pc++) {
    const code = program.readUInt16LE(pc * 8);
    const [jt, jf, k] = [program.readUInt8(pc * 8 + 2), program.readUInt8(pc * 8 + 3), program.readUInt32LE(pc * 8 + 4)];
    if (code === 0x20) a = data.readUInt32LE(k);
    else if (code === 0x54) a = (a & k) >>> 0;
    else if (code === 0x07) x = a;
    else if (code === 0x0c) a = (a + x) >>> 0;
    else if (code === 0x15) pc += a === k ? jt : jf;
    else if (code === 0x35) pc += a >= k ? jt : jf;
    else if (code === 0x06) return k;
    else assert.fail(`instruction ${code}`);
  }
  return assert.fail("the program runs off its end");
}

const u64 = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.constantFrom(0n, 1n, 2n, 3n, 0x22n, 0xffff_ffff_ffff_ffffn));
const six = fc.array(u64, { minLength: 6, maxLength: 6 });
const passes = (row: SyscallRow, args: readonly bigint[]): boolean => isNative(row, args) && !touchesOwnPages(row.nr, args);
const rows = new Map(SYSCALLS.map((row) => [row.nr, row]));

test("the filter lets pass what the table calls native, and stops all else", () => {
  fc.assert(
    fc.property(fc.oneof(fc.nat(600), fc.nat(0x3fff_ffff)), six, (nr, args) => {
      const row = rows.get(nr);
      assert.equal(run(nr, X86_64, args), row && passes(row, args) ? ALLOW : TRACE, row?.name ?? `call ${nr}`);
    }),
    { numRuns: 5000 },
  );
});

test("each condition of the table decides at its edges", () => {
  for (const row of SYSCALLS) {
    if (row.native === undefined || row.native === "always") continue;
    for (const all of row.native) {
      const args = Array.from({ length: 6 }, () => 0n);
      // Bits that the masks leave out, and the upper halves, are noise.
      for (const c of all) args[c.arg] = (0xdead_beefn << 32n) | BigInt(((0xffff_ffff & ~c.mask) | c.equals) >>> 0);
      if (MAPPING_CALLS.has(row.nr)) args[0] = OWN_PAGES_END;
      assert.equal(run(row.nr, X86_64, args), ALLOW, row.name);
      for (const c of all) {
        const other = [...args];
        other[c.arg] = BigInt.asUintN(64, ~(args[c.arg] ?? 0n));
        assert.equal(run(row.nr, X86_64, other), passes(row, other) ? ALLOW : TRACE, row.name);
      }
    }
  }
});

test("other architectures and x32 calls always stop", () => {
  fc.assert(
    fc.property(fc.nat(600), six, fc.nat(0xffff_ffff), (nr, args, arch) => {
      if (arch !== X86_64) assert.equal(run(nr, arch, args), TRACE | FOREIGN_CALL);
      assert.equal(run(nr | 0x4000_0000, X86_64, args), TRACE);
      assert.equal(run(nr | 0x8000_0000, X86_64, args), TRACE);
    }),
  );
});

test("what touches the engine's own pages stops", () => {
  const low = fc.oneof(fc.bigInt({ min: 0n, max: 2n * OWN_PAGES_END }), u64);
  const flags = fc.constantFrom(0n, 2n, 0x10n, 0x22n, 0x32n, 0x10_0022n);
  fc.assert(
    fc.property(fc.constantFrom(...MAPPING_CALLS), low, low, flags, (nr, at, to, flag) => {
      const args = [at, 4096n, 3n, nr === Sys.madvise ? 0n : flag, to, 0n];
      const row = rows.get(nr);
      assert.ok(row);
      assert.equal(run(nr, X86_64, args), passes(row, args) ? ALLOW : TRACE, `${row.name} ${args.join(" ")}`);
    }),
    { numRuns: 5000 },
  );
  const edge = OWN_PAGES_END;
  assert.ok(
    touchesOwnPages(Sys.munmap, [0n, edge]) && touchesOwnPages(Sys.munmap, [edge - 1n, 1n]) && !touchesOwnPages(Sys.munmap, [edge, 1n]),
  );
  assert.ok(!touchesOwnPages(Sys.mmap, [0n, 4096n, 3n, 0x22n]) && touchesOwnPages(Sys.mmap, [0n, edge, 3n, 0x32n]));
  assert.ok(!touchesOwnPages(Sys.mremap, [edge, 1n, 1n, 1n, 0n]) && touchesOwnPages(Sys.mremap, [edge, 1n, 1n, 3n, 0n]));
});

test("what may reach the deputies at home stops", () => {
  const edges = [0n, OWN_PAGES_END, DEPUTIES.from - 0x1_0000_0000n, DEPUTIES.from, DEPUTIES.to, 0x7fff_ffff_0000n];
  const around = fc.oneof(
    fc.tuple(fc.constantFrom(...edges), fc.bigInt({ min: -9000n, max: 9000n })).map(([e, by]) => BigInt.asUintN(64, e + by)),
    u64,
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...MAPPING_CALLS),
      around,
      around,
      around,
      around,
      fc.constantFrom(0n, 3n, 0x22n, 0x32n),
      (nr, at, n, m, to, flag) => {
        const args = [at, n, m, nr === Sys.madvise ? 0n : flag, to, 0n];
        const row = rows.get(nr);
        assert.ok(row);
        assert.equal(run(nr, X86_64, args), passes(row, args) ? ALLOW : TRACE, `${row.name} ${args.join(" ")}`);
        if (passes(row, args) && at < DEPUTIES.to && n < 1n << 62n) assert.ok(at + n <= DEPUTIES.from, `${row.name} ${args.join(" ")}`);
      },
    ),
    { numRuns: 10_000 },
  );
  const [first, last] = [DEPUTIES.from, DEPUTIES.to - 1n];
  for (const nr of MAPPING_CALLS) {
    for (const at of [first, last]) assert.ok(touchesOwnPages(nr, [at, 1n, 1n, 0n, 0n]));
    assert.ok(!touchesOwnPages(nr, [DEPUTIES.to, 4096n, 4096n, 0n, 0n]) && !touchesOwnPages(nr, [0x7000_0000n, 4096n, 4096n, 0n, 0n]));
    assert.ok(touchesOwnPages(nr, [first - 1n, 2n, 2n, 0n, 0n]));
  }
});

test("the kernel takes a program of this size", () => {
  assert.equal(program.length % 8, 0);
  assert.ok(program.length / 8 <= BPF_MAXINSNS);
});
