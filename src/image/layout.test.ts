import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Vma } from "./image.ts";
import { reshape } from "./layout.ts";
import type { RawCall } from "./stub.ts";

/** An address space of so many pages, page by page: what the kernel would do with the calls, and nothing else. */
const PAGES = 48;
const BASE = 0x10000;
const PAGE = 0x1000;
interface Page {
  readonly prot: number;
  /** Where its content comes from; "new" for one that the calls have mapped. */
  readonly backing: string;
}
type Space = (Page | null)[];

const backingOf = (v: Vma, page: number): string =>
  v.backing.kind !== "file" ? "anon" : `${v.backing.hash}@${BigInt(BASE + page * PAGE) - v.start + v.backing.offset}`;

function spaceOf(vmas: readonly Vma[]): Space {
  const space: Space = Array.from({ length: PAGES }, () => null);
  for (const v of vmas) {
    for (let p = (Number(v.start) - BASE) / PAGE; p < (Number(v.end) - BASE) / PAGE; p++)
      space[p] = { prot: v.prot, backing: backingOf(v, p) };
  }
  return space;
}

function apply(space: Space, call: RawCall): void {
  const [addr = 0, length = 0, prot = 0, flags = 0, fd = 0] = call.args.map(Number);
  const from = (addr - BASE) / PAGE;
  if (call.nr === 25) {
    const [old, grown] = [length / PAGE, prot / PAGE];
    const last = space[from + old - 1];
    assert.ok(last?.backing === "anon" || last?.backing === "new", "anonymous memory grows");
    assert.ok(grown > old && space.slice(from + old, from + grown).every((page) => page === null), "to where nothing is");
    space.fill({ prot: last.prot, backing: "new" }, from + old, from + grown);
    return;
  }
  assert.ok(Number.isInteger(from) && length > 0 && length % PAGE === 0, "whole pages");
  for (let p = from; p < from + length / PAGE; p++) {
    const page = space[p];
    if (call.nr === 11) space[p] = null;
    else if (call.nr === 9) {
      assert.ok((flags & 0x10) !== 0 && fd === -1, "anonymous, at its place");
      space[p] = { prot, backing: "new" };
    } else if (call.nr === 10) {
      assert.ok(page, "only what is mapped can be protected");
      space[p] = { ...page, prot };
    } else assert.fail(`call ${call.nr}`);
  }
}

/** Sorted areas that do not overlap, of anonymous memory and two files. */
const areas = fc
  .array(
    fc.record({
      gap: fc.nat(3),
      pages: fc.integer({ min: 1, max: 6 }),
      prot: fc.nat(7),
      file: fc.constantFrom(null, "a", "b"),
      offset: fc.nat(4),
      inPlace: fc.boolean(),
    }),
    { maxLength: 10 },
  )
  .map((parts) => {
    const out: Vma[] = [];
    let at = 0;
    for (const p of parts) {
      const start = at + p.gap;
      at = start + p.pages;
      if (at > PAGES) break;
      // Half of the file areas show the file at an offset that goes with their address, so that the two sides often agree.
      const offset = BigInt((p.inPlace ? start : p.offset) * PAGE);
      const backing = p.file === null ? ({ kind: "anon" } as const) : ({ kind: "file", hash: p.file.repeat(64), offset } as const);
      out.push({ start: BigInt(BASE + start * PAGE), end: BigInt(BASE + at * PAGE), prot: p.prot, growsDown: false, backing });
    }
    return out;
  });

test("the calls turn what is there into what is wanted, and keep what is the same", () => {
  fc.assert(
    fc.property(areas, areas, (have, want) => {
      const space = spaceOf(have);
      const before = spaceOf(have);
      const wanted = spaceOf(want);
      const { calls, lost } = reshape(have, want);
      for (const call of calls) apply(space, call);
      const isLost = (p: number): boolean => lost.some((v) => v.start <= BigInt(BASE + p * PAGE) && BigInt(BASE + p * PAGE) < v.end);
      for (let p = 0; p < PAGES; p++) {
        const [is, should] = [space[p], wanted[p]];
        assert.equal(is?.prot, should?.prot, `protection of page ${p}`);
        if (!should) {
          assert.ok(!isLost(p));
          continue;
        }
        const kept = before[p]?.backing === should.backing;
        assert.equal(is?.backing, kept ? should.backing : "new", `backing of page ${p}`);
        assert.equal(isLost(p), !kept && should.backing !== "anon", `page ${p} is reported as lost when its file is`);
      }
    }),
    { numRuns: 2000 },
  );
});

test("nothing is done where nothing differs", () => {
  fc.assert(fc.property(areas, (same) => assert.deepEqual(reshape(same, same), { calls: [], lost: [] })));
});
