import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { OutRange } from "../forward/mod.ts";
import { REQUEST_AHEAD } from "../image/mod.ts";
import {
  aheadBytes,
  callFrameBytes,
  type CallFrame,
  packCallFrame,
  packReplyHead,
  REPLY_HEAD,
  unpackCallFrame,
  unpackReplyFrame,
} from "./hot-frames.ts";

const ROOM = 1 << 20;
const u32 = fc.nat(0xffff_ffff);
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const out: fc.Arbitrary<OutRange> = fc
  .record({ offset: fc.nat(ROOM / 2), length: fc.nat(ROOM / 8), unit: fc.nat(0xffff), limited: fc.boolean(), onError: fc.boolean() })
  .map(({ offset, length, unit, limited, onError }) => ({
    offset,
    length,
    unit,
    ...(limited ? { limit: "return" as const } : {}),
    ...(onError ? { onError } : {}),
  }));

const PLAIN = {
  ticket: 1,
  seq: 2,
  sigmask: 0n,
  continues: false,
  hurried: false,
  outs: [],
  blob: Buffer.alloc(0),
  ahead: Buffer.alloc(0),
} as const;

function pack(f: Omit<CallFrame, "request">, nr: number, args: readonly bigint[]): Buffer {
  // What is not written is whatever was there before.
  const b = Buffer.alloc(callFrameBytes(f.outs.length, f.blob.length + aheadBytes(f.ahead)), 0xaa);
  packCallFrame(f, nr, args, b);
  return b;
}

test("a call comes out as it went in", () => {
  const frame = fc.record({
    ticket: u32,
    seq: u32,
    sigmask: u64,
    continues: fc.boolean(),
    hurried: fc.boolean(),
    outs: fc.array(out, { maxLength: 8 }),
    blob: fc.uint8Array({ maxLength: 100 }),
    ahead: fc.uint8Array({ maxLength: 100 }),
  });
  fc.assert(
    fc.property(frame, fc.nat(600), fc.array(u64, { maxLength: 6 }), (f, nr, args) => {
      const got = unpackCallFrame(pack(f, nr, args), ROOM);
      assert.ok(got);
      assert.deepEqual(
        { ...got, blob: [...got.blob], ahead: [...got.ahead], request: 0 },
        { ...f, blob: [...f.blob], ahead: [...f.ahead], request: 0 },
      );
      const request = Buffer.from(got.request);
      assert.equal(request.readBigUInt64LE(REQUEST_AHEAD), 0n);
      assert.equal(request.readBigInt64LE(0), BigInt(nr));
      args.forEach((a, i) => {
        assert.equal(request.readBigUInt64LE(8 + 8 * i), a);
      });
    }),
  );
});

test("garbage is no call, and never reaches beyond the deputy's buffer", () => {
  const good = pack({ ...PLAIN, outs: [{ offset: 0, length: 8 }], blob: Buffer.alloc(16), ahead: Buffer.alloc(16) }, 1, []);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 }), fc.nat(good.length), (hits, cut) => {
      const bytes = Buffer.from(good);
      for (const [at, v] of hits) bytes[at] = v;
      for (const b of [bytes, bytes.subarray(0, cut)]) {
        const got = unpackCallFrame(b, ROOM);
        for (const o of got?.outs ?? []) assert.ok(o.offset >= 0 && o.offset + o.length <= ROOM);
        assert.ok((got?.blob.length ?? 0) <= ROOM);
      }
    }),
    { numRuns: 1000 },
  );
  const bad: readonly OutRange[][] = [
    [{ offset: -1, length: 1 }],
    [{ offset: ROOM, length: 1 }],
    [{ offset: 0, length: ROOM + 1 }],
    [{ offset: 2 ** 53, length: 1 }],
    Array.from({ length: 5 }, () => ({ offset: 0, length: ROOM })),
  ];
  for (const outs of bad) assert.equal(unpackCallFrame(pack({ ...PLAIN, outs }, 0, []), ROOM), null);
  assert.equal(unpackCallFrame(pack({ ...PLAIN, blob: Buffer.alloc(ROOM + 1) }, 0, []), ROOM), null);
});

test("replies", () => {
  const b = Buffer.alloc(REPLY_HEAD + 3, 9);
  packReplyHead(7, 0xffff_ffff, -14n, b);
  assert.deepEqual(unpackReplyFrame(b), { ticket: 7, seq: 0xffff_ffff, result: -14n, out: Buffer.alloc(3, 9) });
  for (let n = 0; n < REPLY_HEAD; n++) assert.equal(unpackReplyFrame(b.subarray(0, n)), null);
});
