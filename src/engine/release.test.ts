/** What is given back at a time: small areas together, large ones in pieces. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { batches } from "./release.ts";

const MIB = 1n << 20n;
const areas = (...sizes: readonly bigint[]): { start: bigint; end: bigint }[] =>
  sizes.map((size, i) => ({ start: BigInt(i) << 40n, end: (BigInt(i) << 40n) + size }));
const sizes = (all: Iterable<{ start: bigint; end: bigint }[]>): bigint[][] =>
  [...all].map((b) => b.map(({ start, end }) => (end - start) / MIB));

test("a program's forty areas are one batch, and no guest waits for more than two pieces of a large one", () => {
  assert.deepEqual(sizes(batches([])), []);
  assert.deepEqual(sizes(batches(areas(...Array(40).fill(MIB)))), [Array(40).fill(1n)]);
  const pieces = areas(MIB, 64n * MIB, 64n * MIB, 2n * MIB, 63n * MIB, MIB);
  assert.deepEqual(sizes(batches(pieces)), [[1n, 64n], [64n], [2n, 63n], [1n]]);
  const many = [...batches(areas(...Array(1000).fill(MIB / 256n)))];
  assert.deepEqual(many.flat(), areas(...Array(1000).fill(MIB / 256n)));
  assert.ok(many.every((batch) => batch.length <= 128));
});
