/** Whatever bytes come, a reader answers with frames or with E_PROTOCOL: no crash, no hang, no memory beyond what was sent. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MiB, TeselaError } from "../base/mod.ts";
import { FrameReader } from "./frame.ts";
import { FRAME_TRUST } from "./limits.ts";
import { codec, MESSAGES, type MessageName, minimalOf, type MessageDef } from "./mod.ts";

const RUNS = 3000;
const defs = Object.entries(MESSAGES) as unknown as [MessageName, MessageDef<unknown>][];
const samples = defs.flatMap(([name, def]) =>
  [def.head === null ? null : def.head.sample, def.head === null ? null : minimalOf(def.head)].map((head) =>
    Buffer.concat(codec.encode(name, head as never, [Buffer.from("payload")])),
  ),
);

/** Feeds a reader; returns how many frames were decoded, -1 when the stream was refused. */
function feed(chunks: readonly Uint8Array[], direct: boolean): number {
  let frames = 0;
  const reader = new FrameReader((frame) => {
    codec.decode(frame);
    frames++;
  });
  try {
    for (const chunk of chunks) {
      if (!direct) reader.push(Buffer.from(chunk));
      else {
        for (let at = 0; at < chunk.length; ) {
          const n = Buffer.from(chunk).copy(reader.room(), 0, at);
          reader.took(n);
          at += n;
        }
      }
    }
    return frames;
  } catch (e) {
    if (e instanceof TeselaError && e.code === "E_PROTOCOL") return -1;
    throw e;
  }
}

/** What this process has used, whatever else the machine does. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function check(what: string, chunks: fc.Arbitrary<readonly Uint8Array[]>): void {
  test(what, { timeout: 60_000 }, () => {
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    fc.assert(
      fc.property(chunks, fc.boolean(), (bytes, direct) => {
        const start = cpuMs();
        feed(bytes, direct);
        most = Math.max(most, cpuMs() - start);
      }),
      { numRuns: RUNS },
    );
    assert.ok(most < 2000, `one input took ${most} ms`);
    assert.ok(process.memoryUsage().arrayBuffers - before < 64 * MiB + RUNS * FRAME_TRUST);
  });
}

const sample = fc.constantFrom(...samples);
const u32le = (n: number): Buffer => {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(n);
  return b;
};

check("random bytes", fc.array(fc.uint8Array({ maxLength: 600 }), { maxLength: 6 }));

check(
  "random heads in whole frames of every message",
  fc
    .tuple(fc.constantFrom(...defs.map(([, d]) => d.id), 255), fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 20 }))
    .map(([id, head, payload]) => [
      Buffer.concat([u32le(4 + head.length + payload.length), Buffer.from([id, 0, head.length & 255, head.length >> 8]), head, payload]),
    ]),
);

check(
  "bit flips in good frames",
  fc.tuple(sample, fc.array(fc.nat(), { minLength: 1, maxLength: 8 })).map(([frame, flips]) => {
    const bytes = Buffer.from(frame);
    for (const flip of flips) {
      const at = flip % (bytes.length * 8);
      bytes[at >> 3] = (bytes[at >> 3] as number) ^ (1 << (at & 7));
    }
    return [bytes, frame];
  }),
);

check(
  "bytes put in, taken out and changed, in good frames, cut anywhere",
  fc
    .tuple(
      sample,
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 4 }), fc.uint8Array({ maxLength: 9 })), { minLength: 1, maxLength: 4 }),
      fc.nat(),
    )
    .map(([frame, edits, cut]) => {
      let bytes: Buffer = Buffer.from(frame);
      for (const [where, drop, put] of edits) {
        const at = where % (bytes.length + 1);
        bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + drop)]);
      }
      const at = cut % (bytes.length + 1);
      return [bytes.subarray(0, at), bytes.subarray(at)];
    }),
);

check(
  "lengths of every kind in the header",
  fc
    .tuple(fc.nat({ max: 0xffff_ffff }), fc.nat({ max: 255 }), fc.nat({ max: 0xffff }), fc.uint8Array({ maxLength: 2000 }))
    .map(([length, id, head, rest]) => [Buffer.concat([u32le(length), Buffer.from([id, 0, head & 255, head >> 8]), rest])]),
);

test("good frames cut anywhere are incomplete, never wrong", () => {
  for (const frame of samples) {
    for (let at = 0; at < frame.length; at++) assert.equal(feed([frame.subarray(0, at)], at % 2 === 0), 0);
    assert.equal(feed([frame], true), 1);
  }
});

test("heads that claim more than they bring cost nothing", () => {
  const before = process.memoryUsage().arrayBuffers;
  // Arrays in arrays, each claiming the largest size that its level could still be believed.
  const head = Buffer.alloc(60_000);
  for (let at = 0; at + 3 <= head.length; at += 3) head.set([0x99, 0x7f, 0xff], at);
  const heads = [head, Buffer.alloc(60_000, 0x9b), Buffer.alloc(60_000, 0xbb), Buffer.alloc(60_000, 0x81), Buffer.alloc(60_000, 0xa1)];
  const start = cpuMs();
  for (const [, def] of defs) {
    for (const h of heads) {
      const bytes = Buffer.concat([u32le(4 + h.length), Buffer.from([def.id, 0, h.length & 255, h.length >> 8]), h]);
      assert.equal(feed([bytes], false), -1);
    }
  }
  assert.ok(cpuMs() - start < 5000);
  assert.ok(process.memoryUsage().arrayBuffers - before < 64 * MiB);
});
