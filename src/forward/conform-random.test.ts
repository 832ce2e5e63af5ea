/** Random transfers through a deputy with the smallest buffer, against a model of a file. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, describe, test } from "node:test";
import fc from "fast-check";
import { AT, IOVEC, NR, O } from "../abi/mod.ts";
import { MIN_AREA } from "./mod.ts";
import { type Deputy, noCompiler, Workshop } from "./testdata/deputy.ts";

/** Sizes around nothing, around a page, and around the deputy's buffer. */
const size = fc.oneof(
  fc.integer({ min: 0, max: 40 }),
  fc.integer({ min: 4090, max: 4100 }),
  fc.integer({ min: MIN_AREA - 40, max: MIN_AREA + 40 }),
  fc.integer({ min: 0, max: 3 * MIN_AREA }),
);
const position = fc.integer({ min: 0, max: 2 * MIN_AREA });

type Step =
  | { readonly kind: "write" | "read"; readonly size: number }
  | { readonly kind: "pwrite" | "pread"; readonly size: number; readonly at: number }
  | { readonly kind: "writev" | "readv"; readonly sizes: readonly number[] }
  | { readonly kind: "pwritev" | "preadv"; readonly sizes: readonly number[]; readonly at: number }
  | { readonly kind: "seek" | "truncate"; readonly at: number };

const sizes = fc.array(size, { maxLength: 5 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom("write" as const, "read" as const), size }),
  fc.record({ kind: fc.constantFrom("pwrite" as const, "pread" as const), size, at: position }),
  fc.record({ kind: fc.constantFrom("writev" as const, "readv" as const), sizes }),
  fc.record({ kind: fc.constantFrom("pwritev" as const, "preadv" as const), sizes, at: position }),
  fc.record({ kind: fc.constantFrom("seek" as const, "truncate" as const), at: position }),
);

/** A file as it should be. */
class Model {
  bytes: Buffer = Buffer.alloc(0);
  at = 0;

  write(data: Buffer, at = this.at): void {
    if (data.length === 0) return;
    const end = Math.max(this.bytes.length, at + data.length);
    this.bytes = Buffer.concat([this.bytes], end);
    data.copy(this.bytes, at);
  }

  read(length: number, at = this.at): Buffer {
    return this.bytes.subarray(Math.min(at, this.bytes.length), at + length);
  }
}

describe("random transfers", { skip: noCompiler }, () => {
  const shop = noCompiler ? null : new Workshop();
  after(() => shop?.close());

  let turn = 0;
  /** Content that differs from place to place and from step to step. */
  const content = (n: number): Buffer => {
    turn++;
    const b = Buffer.alloc(n);
    for (let i = 0; i < n; i++) b[i] = (i * 31 + (i >> 8) + turn * 7) & 0xff;
    return b;
  };

  function vector(d: Deputy, pieces: readonly bigint[], lengths: readonly number[]): bigint {
    const raw = Buffer.alloc(pieces.length * IOVEC.size);
    for (const [i, base] of pieces.entries()) {
      raw.writeBigUInt64LE(base, i * IOVEC.size);
      raw.writeBigUInt64LE(BigInt(lengths[i] ?? 0), i * IOVEC.size + 8);
    }
    return d.mem.map(raw);
  }

  async function perform(d: Deputy, fd: number, model: Model, s: Step): Promise<void> {
    switch (s.kind) {
      case "write": {
        const data = content(s.size);
        assert.equal(await d.ok(NR.write, fd, d.mem.map(data), s.size), s.size);
        model.write(data);
        model.at += s.size;
        return;
      }
      case "pwrite": {
        const data = content(s.size);
        assert.equal(await d.ok(NR.pwrite64, fd, d.mem.map(data), s.size, s.at), s.size);
        model.write(data, s.at);
        return;
      }
      case "writev":
      case "pwritev": {
        const pieces = s.sizes.map(content);
        const v = vector(
          d,
          pieces.map((p) => d.mem.map(p)),
          s.sizes,
        );
        const all = Buffer.concat(pieces);
        if (s.kind === "pwritev") {
          assert.equal(await d.ok(NR.pwritev, fd, v, pieces.length, s.at, 0), all.length);
          model.write(all, s.at);
        } else {
          assert.equal(await d.ok(NR.writev, fd, v, pieces.length), all.length);
          model.write(all);
          model.at += all.length;
        }
        return;
      }
      case "read":
      case "pread": {
        const into = d.mem.map(s.size);
        const wanted = model.read(s.size, s.kind === "pread" ? s.at : model.at);
        const n = s.kind === "pread" ? await d.ok(NR.pread64, fd, into, s.size, s.at) : await d.ok(NR.read, fd, into, s.size);
        assert.equal(n, wanted.length);
        assert.ok(d.mem.readUpTo(into, n).equals(wanted));
        if (s.kind === "read") model.at += n;
        return;
      }
      case "readv":
      case "preadv": {
        const rooms = s.sizes.map((n) => d.mem.map(n));
        const v = vector(d, rooms, s.sizes);
        const total = s.sizes.reduce((sum, n) => sum + n, 0);
        const wanted = model.read(total, s.kind === "preadv" ? s.at : model.at);
        const n = s.kind === "preadv" ? await d.ok(NR.preadv, fd, v, rooms.length, s.at, 0) : await d.ok(NR.readv, fd, v, rooms.length);
        assert.equal(n, wanted.length);
        const got = Buffer.concat(rooms.map((room, i) => d.mem.readUpTo(room, s.sizes[i] ?? 0)));
        assert.ok(got.subarray(0, n).equals(wanted));
        assert.ok(got.subarray(n).every((b) => b === 0));
        if (s.kind === "readv") model.at += n;
        return;
      }
      case "seek":
        assert.equal(await d.ok(NR.lseek, fd, s.at, 0), s.at);
        model.at = s.at;
        return;
      case "truncate":
        await d.ok(NR.ftruncate, fd, s.at);
        model.bytes = Buffer.concat([model.bytes], s.at);
        return;
    }
  }

  test("leave the file and the memory as the model says", async () => {
    let file = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const d = (shop as Workshop).deputy(MIN_AREA);
        try {
          const name = `random-${file++}`;
          const fd = await d.ok(NR.openat, AT.FDCWD, d.mem.string(name), O.RDWR | O.CREAT | O.TRUNC, 0o600);
          const model = new Model();
          for (const s of steps) await perform(d, fd, model, s);
          assert.ok(readFileSync((shop as Workshop).path(name)).equals(model.bytes));
          assert.equal(await d.ok(NR.lseek, fd, 0, 1), model.at);
        } finally {
          d.close();
        }
      }),
      { numRuns: 40 },
    );
  });
});
