import assert from "node:assert/strict";
import { test } from "node:test";
import { descriptorsIn } from "./received-fds.ts";

const cmsg = (level: number, type: number, data: Buffer): Buffer => {
  const head = Buffer.alloc(16);
  head.writeBigUInt64LE(BigInt(16 + data.length), 0);
  head.writeInt32LE(level, 8);
  head.writeInt32LE(type, 12);
  return Buffer.concat([head, data], (16 + data.length + 7) & ~7);
};
const ints = (...values: number[]): Buffer => Buffer.from(Int32Array.from(values).buffer);

test("descriptors are found in ancillary data, behind and before other kinds", () => {
  const [credentials, timestamp] = [cmsg(1, 2, ints(1, 0, 0)), cmsg(1, 29, Buffer.alloc(16))];
  assert.deepEqual(descriptorsIn(Buffer.concat([credentials, cmsg(1, 1, ints(5, 6, 7)), timestamp, cmsg(1, 1, ints(9))])), [5, 6, 7, 9]);
  assert.deepEqual(descriptorsIn(Buffer.concat([credentials, timestamp])), []);
});

test("cut and impossible ancillary data ends the search", () => {
  assert.deepEqual(descriptorsIn(Buffer.alloc(0)), []);
  assert.deepEqual(descriptorsIn(Buffer.alloc(64)), []);
  assert.deepEqual(descriptorsIn(cmsg(1, 1, ints(5, 6, 7)).subarray(0, 22)), [5]);
});
