/** Room for chunks on their way: small ones share it, and nothing is written over before it has left. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SendBuffers } from "./carry.ts";

const MIB = 1 << 20;
const PAGE = 4096;

test("chunks do not overlap, whatever their sizes, until all have left", () => {
  const buffers = new SendBuffers();
  const chunks: Buffer[] = [];
  for (const [i, pages] of [1, 7, 40, 200, 256, 3, 255, 2, 1].entries()) {
    const unsent = buffers.take(pages * PAGE);
    unsent.fill(0xff);
    if (i % 2 === 0) buffers.giveBack();
    const chunk = i % 2 === 0 ? buffers.take(pages * PAGE) : unsent;
    assert.equal(chunk.length, pages * PAGE);
    assert.equal(chunk.byteOffset % 4, 0);
    chunks.push(chunk.fill(i));
  }
  for (const [i, chunk] of chunks.entries())
    assert.ok(
      chunk.every((b) => b === i),
      `chunk ${i}`,
    );
  buffers.leave();
});

test("a program of many small chunks takes one buffer, a large one as many as may be under way", () => {
  const buffers = new SendBuffers();
  for (let i = 0; i < 200; i++) buffers.take(PAGE);
  assert.equal(buffers.full, false);
  buffers.reuse();
  for (let i = 0; i < 7; i++) buffers.take(MIB);
  assert.equal(buffers.full, false);
  buffers.take(MIB);
  assert.equal(buffers.full, true);
  buffers.reuse();
  assert.equal(buffers.full, false);
  buffers.leave();
});
