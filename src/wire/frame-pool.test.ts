import assert from "node:assert/strict";
import { test } from "node:test";
import { KiB, MiB } from "../base/mod.ts";
import { FramePool } from "./frame-pool.ts";

test("memory that was given back is used again, the smallest that is large enough first", () => {
  const pool = new FramePool();
  const [large, small] = [pool.take(MiB), pool.take(100 * KiB)];
  assert.equal(small.length, 100 * KiB);
  pool.release(large);
  pool.release(small.subarray(5));
  assert.equal(pool.take(90 * KiB).buffer, small.buffer);
  assert.equal(pool.take(90 * KiB).buffer, large.buffer);
  assert.notEqual(pool.take(90 * KiB).buffer, large.buffer);
});

test("what is not lent is not taken: other memory, the same a second time, small pieces", () => {
  const pool = new FramePool();
  pool.release(Buffer.alloc(MiB));
  const lent = pool.take(MiB);
  pool.release(lent);
  pool.release(lent);
  assert.equal(pool.take(MiB).buffer, lent.buffer);
  assert.notEqual(pool.take(MiB).buffer, lent.buffer);
  const little = pool.take(KiB);
  pool.release(little);
  assert.notEqual(pool.take(KiB).buffer, little.buffer);
});

test("it keeps a limited amount", () => {
  const pool = new FramePool();
  const all = Array.from({ length: 40 }, () => pool.take(MiB));
  for (const b of all) pool.release(b);
  const again = new Set(Array.from({ length: 40 }, () => pool.take(MiB).buffer));
  assert.equal(all.filter((b) => again.has(b.buffer)).length, 32);
});

test("what nobody asks for is forgotten after a while", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const pool = new FramePool();
  const first = pool.take(MiB);
  pool.release(first);
  t.mock.timers.tick(2000);
  const second = pool.take(MiB);
  assert.equal(second.buffer, first.buffer, "it was used in that time");
  pool.release(second);
  t.mock.timers.tick(2000);
  t.mock.timers.tick(2000);
  assert.notEqual(pool.take(MiB).buffer, first.buffer);
});
