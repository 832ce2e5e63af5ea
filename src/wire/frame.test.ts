import assert from "node:assert/strict";
import { test } from "node:test";
import { KiB, MiB, TeselaError } from "../base/mod.ts";
import { Codec, COPY_LIMIT } from "./codec.ts";
import { FrameReader, type RawFrame } from "./frame.ts";
import { FRAME_TRUST, MAX_FRAME, MAX_HEAD, MAX_PAYLOAD } from "./limits.ts";
import { defineMessages, msg, raw } from "./message.ts";
import { bytes, u32 } from "./schema.ts";

const TABLE = defineMessages({ numbered: msg(1, { n: u32 }), bytes: raw(2), large: msg(3, { head: bytes(MAX_HEAD) }) });
const codec = new Codec(TABLE);

const encode = (n: number, size: number): Buffer => Buffer.concat(codec.encode("numbered", { n }, [Buffer.alloc(size, n)]));
const isProtocol = (e: unknown) => e instanceof TeselaError && e.code === "E_PROTOCOL";
const isBug = (e: unknown) => e instanceof TeselaError && e.code === "E_INTERNAL";

/** How a reader may be fed: by chunks, or through its own room. */
const FEEDS: Record<string, (reader: FrameReader, chunk: Buffer) => void> = {
  push: (reader, chunk) => reader.push(chunk),
  room(reader, chunk) {
    for (let at = 0; at < chunk.length; ) {
      const n = chunk.copy(reader.room(), 0, at);
      at += n;
      reader.took(n);
    }
  },
};

test("a frame is what the contract says, byte by byte", () => {
  const [frame] = codec.encode("numbered", { n: 7 }, [Buffer.from("xyz")]);
  // length 4 + 4 + 3, id 1, 0, head of 4 bytes: map of one, "n", 7; payload
  assert.equal(Buffer.from(frame as Uint8Array).toString("hex"), "0b000000" + "01" + "00" + "0400" + "a1616e07" + "78797a");
  assert.equal(Buffer.concat(codec.encode("bytes", null, [])).toString("hex"), "0400000002000000");
});

test("only the first piece of a large frame is a copy", () => {
  const payload = [Buffer.alloc(10_000, 1), Buffer.alloc(20_000, 2), Buffer.alloc(3, 3)];
  const pieces = codec.encode("bytes", null, payload);
  assert.equal(pieces[0]?.length, COPY_LIMIT);
  assert.equal(pieces[1]?.buffer, payload[1]?.buffer);
  assert.ok(Buffer.concat(pieces).subarray(8).equals(Buffer.concat(payload)));
});

for (const [how, feed] of Object.entries(FEEDS)) {
  test(`${how}: frames of all sizes, cut at every place`, () => {
    const sizes = [0, 1, 5, 100, 0, 3000, 70_000, 2, 300_000];
    const whole = Buffer.concat(sizes.map((size, n) => encode(n, size)));
    for (const step of [1, 3, 7, 8, 13, 64, 1000, 4096, 16 * KiB, 64 * KiB, 65_537, whole.length]) {
      const got: { n: number; payload: Buffer }[] = [];
      const reader = new FrameReader((f) => {
        const m = codec.decode(f);
        if (m.type === "numbered") got.push({ n: m.head.n, payload: m.payload });
      });
      for (let at = 0; at < whole.length; at += step) feed(reader, whole.subarray(at, at + step));
      assert.ok(reader.idle);
      assert.deepEqual(
        got.map((g) => g.payload.length),
        sizes,
      );
      // Looked at only now: views stay valid while later frames come.
      for (const [n, g] of got.entries()) assert.ok(g.n === n && g.payload.every((b) => b === n), `step ${step}, frame ${n}`);
    }
  });

  test(`${how}: pause holds frames back, also in the middle of a chunk, and resume goes on`, () => {
    const whole = Buffer.concat(Array.from({ length: 20 }, (_, n) => encode(n, n === 9 ? 200_000 : n * 10)));
    for (const step of [5, 100, 10_000, whole.length]) {
      const got: number[] = [];
      const reader = new FrameReader((f) => {
        const m = codec.decode(f);
        if (m.type === "numbered") got.push(m.head.n);
        reader.pause();
      });
      for (let at = 0; at < whole.length; at += step) feed(reader, whole.subarray(at, at + step));
      for (let n = 1; n <= 20; n++) {
        assert.deepEqual(
          got,
          Array.from({ length: n }, (_, i) => i),
          `step ${step}`,
        );
        reader.resume();
      }
      assert.ok(reader.idle);
    }
  });

  test(`${how}: stop inside a handler ends it there`, () => {
    let got = 0;
    const reader = new FrameReader(() => {
      if (++got === 3) reader.stop();
    });
    for (let i = 0; i < 10; i++) feed(reader, Buffer.concat([encode(1, 10), encode(2, 100_000)]));
    assert.equal(got, 3);
  });

  test(`${how}: a length beyond the limit is refused before room is made for it`, () => {
    for (const length of [MAX_FRAME + 1, 0x7fff_ffff, 0xffff_ffff, 0, 3]) {
      const header = Buffer.alloc(8);
      header.writeUInt32LE(length);
      header[4] = 2;
      const before = process.memoryUsage().arrayBuffers;
      assert.throws(() => feed(new FrameReader(() => {}), header), isProtocol);
      assert.throws(() => {
        const reader = new FrameReader(() => {});
        for (const byte of header) feed(reader, Buffer.of(byte));
      }, isProtocol);
      assert.ok(process.memoryUsage().arrayBuffers - before < 1 * MiB);
    }
  });

  test(`${how}: a length alone makes no more room than ${FRAME_TRUST} bytes`, () => {
    const header = Buffer.alloc(8);
    header.writeUInt32LE(MAX_FRAME);
    header[4] = 2;
    const before = process.memoryUsage().arrayBuffers;
    const readers = Array.from({ length: 64 }, () => new FrameReader(() => {}));
    for (const reader of readers) feed(reader, header);
    assert.ok(process.memoryUsage().arrayBuffers - before < 64 * (FRAME_TRUST + 70 * KiB));
    assert.ok(!readers.some((r) => r.idle));
  });

  test(`${how}: the largest frame passes`, () => {
    let payload: Buffer | null = null;
    const reader = new FrameReader((f) => {
      payload = f.payload;
    });
    const whole = Buffer.concat(codec.encode("bytes", null, [Buffer.alloc(MAX_PAYLOAD, 9)]));
    for (let at = 0; at < whole.length; at += 64 * KiB) feed(reader, whole.subarray(at, at + 64 * KiB));
    assert.ok((payload as Buffer | null)?.equals(Buffer.alloc(MAX_PAYLOAD, 9)));
  });
}

test("released memory is used again, and released twice or foreign memory is not", () => {
  const frames: RawFrame[] = [];
  const reader = new FrameReader((f) => frames.push(f));
  const receive = (n: number, size: number): Buffer => {
    const whole = encode(n, size);
    reader.push(whole.subarray(0, 10));
    reader.push(whole.subarray(10));
    return (frames.at(-1) as RawFrame).payload;
  };
  const first = receive(1, 1 * MiB);
  const second = receive(2, 1 * MiB);
  assert.notEqual(first.buffer, second.buffer);
  reader.release(first);
  reader.release(first);
  reader.release(Buffer.alloc(1 * MiB));
  const third = receive(3, 900_000);
  const fourth = receive(4, 900_000);
  assert.equal(third.buffer, first.buffer);
  assert.notEqual(fourth.buffer, first.buffer);
  assert.ok(second.every((b) => b === 2) && third.every((b) => b === 3) && fourth.every((b) => b === 4));
});

test("what is too large is refused before it is sent", () => {
  assert.throws(() => codec.encode("bytes", null, [Buffer.alloc(MAX_FRAME)]), isBug);
  assert.throws(() => codec.alloc("bytes", null, MAX_PAYLOAD + 1), isBug);
  assert.throws(() => codec.encode("large", { head: Buffer.alloc(MAX_HEAD) }, []), isBug);
});

test("an unknown message, a head that a message has not, and bytes behind a head are refused", () => {
  const decode = (hex: string) => new FrameReader((f) => codec.decode(f)).push(Buffer.from(hex, "hex"));
  assert.throws(() => decode("04000000ff000000"), /unknown message id 255/);
  assert.throws(() => decode("0500000002000100a0"), /which has none/);
  assert.throws(() => decode("0900000001000500a1616e07f6"), /1 bytes after the head/);
  assert.throws(() => decode("0800000001010400a1616e07"), /flags 1/);
  assert.throws(() => decode("0800000001000500a1616e07"), isProtocol);
});
