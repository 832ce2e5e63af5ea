import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TeselaError } from "../base/mod.ts";
import { addressOfBytes } from "../sys/mod.ts";
import type { Vma } from "./image.ts";
import { FrozenPages, packRuns, type PageChunk, touches, unpackRuns } from "./pages.ts";

const PAGE = 4096;

/** Whole pages of this very process to read, page `i` filled as told: 0 is a page of zeros that is present. */
function ownArea(fill: readonly number[]): { bytes: Buffer; vma: Vma } {
  const raw = Buffer.alloc((fill.length + 1) * PAGE, 1);
  const address = addressOfBytes(raw);
  const start = (address + BigInt(PAGE - 1)) & ~BigInt(PAGE - 1);
  const bytes = raw.subarray(Number(start - address), Number(start - address) + fill.length * PAGE);
  fill.forEach((v, i) => {
    bytes.fill(v, i * PAGE, (i + 1) * PAGE);
  });
  return { bytes, vma: { start, end: start + BigInt(bytes.length), prot: 3, growsDown: false, backing: { kind: "anon" } } };
}

/** Pages by address; each once. */
function contents(chunks: Iterable<PageChunk>): Map<bigint, Buffer> {
  const out = new Map<bigint, Buffer>();
  for (const { runs, data } of chunks) {
    let at = 0;
    for (const run of runs) {
      for (let i = 0; i < run.pages; i++, at += PAGE) {
        const address = run.addr + BigInt(i * PAGE);
        assert.ok(!out.has(address), "a page comes once");
        out.set(address, Buffer.from(data.subarray(at, at + PAGE)));
      }
    }
    assert.equal(at, data.length);
  }
  return out;
}

test("all pages but those of zeros come, in any pattern", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(0, 0, 7, 255), { minLength: 1, maxLength: 300 }), (fill) => {
      const { bytes, vma } = ownArea(fill);
      const got = contents(new FrozenPages(process.pid, [vma]).chunks(Buffer.alloc));
      fill.forEach((v, i) => {
        const page = got.get(vma.start + BigInt(i * PAGE));
        if (v === 0) assert.equal(page, undefined, `page ${i} is of zeros`);
        else assert.ok(page?.equals(bytes.subarray(i * PAGE, (i + 1) * PAGE)), `page ${i}`);
      });
      assert.equal(got.size, fill.filter((v) => v !== 0).length);
    }),
    { numRuns: 100 },
  );
});

test("zeros over a file come, since the file may hold something else", () => {
  const { vma } = ownArea([0, 5, 0]);
  const file: Vma = { ...vma, backing: { kind: "file", hash: "a".repeat(64), offset: 0n } };
  assert.equal(contents(new FrozenPages(process.pid, [file]).chunks(Buffer.alloc)).size, 3);
});

test("a page that is zero but for its last byte comes", () => {
  const { bytes, vma } = ownArea([0, 0]);
  bytes[2 * PAGE - 1] = 1;
  assert.deepEqual([...contents(new FrozenPages(process.pid, [vma]).chunks(Buffer.alloc)).keys()], [vma.start + BigInt(PAGE)]);
});

const run = fc.record({ addr: fc.bigInt({ min: 0n, max: 2n ** 35n }).map((n) => n << 12n), pages: fc.integer({ min: 0, max: 3 }) });

test("runs are packed and unpacked", () => {
  fc.assert(
    fc.property(fc.array(run, { maxLength: 20 }), (runs) => {
      const data = Buffer.alloc(runs.reduce((n, r) => n + r.pages, 0) * PAGE, 9);
      const chunk = unpackRuns(Buffer.concat([packRuns(runs), data]), runs.length);
      assert.deepEqual(
        chunk.runs,
        runs.map((r) => ({ ...r })),
      );
      assert.ok(data.equals(chunk.data));
    }),
  );
});

const isProtocol = (e: unknown): boolean => e instanceof TeselaError && e.code === "E_PROTOCOL";

test("garbage for runs is refused", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.oneof(fc.nat(20), fc.nat(0xffff_ffff), fc.constant(-1)), (bytes, count) => {
      try {
        const { data, runs } = unpackRuns(bytes, count);
        assert.equal(data.length, runs.reduce((n, r) => n + r.pages, 0) * PAGE);
      } catch (e) {
        assert.ok(isProtocol(e), String(e));
      }
    }),
  );
  const odd = Buffer.concat([packRuns([{ addr: 0x1001n, pages: 1 }]), Buffer.alloc(PAGE)]);
  assert.throws(() => unpackRuns(odd, 1), isProtocol);
  const wraps = Buffer.concat([packRuns([{ addr: 0x1000n, pages: 2 ** 52 }]), Buffer.alloc(PAGE)]);
  assert.throws(() => unpackRuns(wraps, 1), isProtocol);
});

test("a chunk that touches a range is found", () => {
  const chunk = { runs: [{ addr: 0x5000n, pages: 2 }], data: Buffer.alloc(2 * PAGE) };
  assert.ok(touches(chunk, 0x6000n, 0x7000n));
  assert.ok(touches(chunk, 0x0n, 0x5001n));
  assert.ok(!touches(chunk, 0x7000n, 0x9000n));
  assert.ok(!touches(chunk, 0x4000n, 0x5000n));
});
