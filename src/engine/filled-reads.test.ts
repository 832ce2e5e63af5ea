import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { test } from "node:test";
import { NR } from "../abi/mod.ts";
import { libc } from "../sys/mod.ts";
import { filledRequest, filledUp } from "./filled-reads.ts";

const SIZE = 3_000_000;
const DONE = 4096;

/** What a call of this process has read of a file by now, as it would be after a stop. */
function readOf(path: string, done = BigInt(DONE)): { readonly got: bigint; readonly rest: Buffer } {
  const fd = openSync(path, "r");
  const into = Buffer.alloc(SIZE + 8, 1);
  const got = filledUp(process.pid, NR.read, [BigInt(fd), libc.addressOf(into), BigInt(SIZE)], done);
  closeSync(fd);
  assert.deepEqual(into.subarray(0, DONE), Buffer.alloc(DONE, 1), "what was read stays");
  assert.deepEqual(into.subarray(SIZE), Buffer.alloc(8, 1), "nothing behind it is touched");
  return { got, rest: into.subarray(DONE, SIZE) };
}

test("of zeros and random bytes the rest is given, to the end", () => {
  for (const path of ["/dev/zero", "/dev/full"]) {
    const { got, rest } = readOf(path);
    assert.deepEqual([got, rest.equals(Buffer.alloc(SIZE - DONE))], [BigInt(SIZE), true], path);
  }
  for (const path of ["/dev/urandom", "/dev/random"]) {
    const { got, rest } = readOf(path);
    assert.equal(got, BigInt(SIZE), path);
    assert.notDeepEqual(rest.subarray(0, 16), rest.subarray(16, 32), path);
    assert.notDeepEqual(rest.subarray(-16), Buffer.alloc(16, 1), path);
  }
});

test("what is whole, has failed, or tells something by its count stays as it is", () => {
  for (const path of ["/dev/null", "/proc/self/exe"]) {
    const { got, rest } = readOf(path);
    assert.deepEqual([got, rest.equals(Buffer.alloc(SIZE - DONE, 1))], [BigInt(DONE), true], path);
  }
  for (const result of [0n, -4n, -512n, BigInt(SIZE)]) assert.equal(readOf("/dev/zero", result).got, result);
});

test("getrandom(2) has its buffer first; where there is no memory it ends", () => {
  const request = (at: bigint, size: number): Buffer => {
    const r = Buffer.alloc(64);
    for (const [i, v] of [BigInt(NR.getrandom), at, BigInt(size)].entries()) r.writeBigUInt64LE(v, 8 * i);
    return r;
  };
  const into = Buffer.alloc(64, 1);
  assert.equal(filledRequest(process.pid, request(libc.addressOf(into), 64), 32n), 64n);
  assert.deepEqual([into.subarray(0, 32).equals(Buffer.alloc(32, 1)), into.subarray(32).equals(Buffer.alloc(32, 1))], [true, false]);
  assert.equal(filledRequest(process.pid, request(8n, 64), 32n), 32n);
});
