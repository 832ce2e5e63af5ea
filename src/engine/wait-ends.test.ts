import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NR } from "../abi/mod.ts";
import type { ForwardPlan, Timeout } from "../forward/mod.ts";
import { keepEnd, limitOf, timeBytes, withLimit } from "./wait-ends.ts";

const SECOND = 1_000_000_000n;
const plan = (timeout: Timeout, args: bigint[] = [], blob = Buffer.alloc(0)): ForwardPlan => ({
  kind: "forward",
  nr: NR.poll,
  args,
  blob,
  outs: [],
  finish: (done) => ({ done }),
  blocking: true,
  restartOnEintr: false,
  timeout,
});
const inRegister = (ms: number): ForwardPlan => plan({ kind: "ms", relative: true, argIndex: 2 }, [0n, 0n, BigInt.asUintN(64, BigInt(ms))]);
const inMemory = (kind: "timespec" | "timeval", seconds: bigint, rest: bigint, relative = true): ForwardPlan => {
  const blob = Buffer.alloc(24);
  blob.writeBigInt64LE(seconds, 8);
  blob.writeBigInt64LE(rest, 16);
  return plan({ kind, relative, areaOffset: 8 }, [], blob);
};

test("limits are read as the kernel reads them; what it refuses, or waits for ever for, has no end", () => {
  assert.equal(limitOf(inRegister(1500)), 1_500_000_000n);
  assert.equal(limitOf(inRegister(-1)), null);
  assert.equal(limitOf(inMemory("timespec", 2n, 5n)), 2n * SECOND + 5n);
  assert.equal(limitOf(inMemory("timeval", 2n, 5n)), 2n * SECOND + 5000n);
  assert.equal(limitOf(inMemory("timespec", 1n, SECOND)), null);
  assert.equal(limitOf(inMemory("timespec", -1n, 0n)), null);
  assert.equal(limitOf(inMemory("timespec", 1n << 60n, 0n)), null);
  assert.equal(limitOf(inMemory("timespec", 1n, 0n, false)), null);
});

test("a limit that is written is the one that is read, or longer by less than its unit", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 86_400n * SECOND }), fc.constantFrom("ms", "timespec", "timeval"), (limit, kind) => {
      const before = kind === "ms" ? inRegister(1) : inMemory(kind, 1n, 1n);
      const read = limitOf(withLimit(before, limit)) ?? -1n;
      const unit = { ms: 1_000_000n, timespec: 1n, timeval: 1000n }[kind];
      assert(read >= limit && read < limit + unit);
    }),
  );
  assert.deepEqual(timeBytes("timeval", SECOND - 1n), timeBytes("timeval", SECOND));
});

test("a call that is made again waits for what is left; another one, or one elsewhere, for all of it", () => {
  const [first, end] = keepEnd(inRegister(1500), NR.poll, 100n, 10n * SECOND, null);
  assert.equal(limitOf(first), 1_500_000_000n);
  const [again, same] = keepEnd(inRegister(1500), NR.poll, 100n, 11n * SECOND, end);
  assert.deepEqual([limitOf(again), same], [500_000_000n, end]);
  assert.equal(limitOf(keepEnd(inRegister(1500), NR.poll, 100n, 12n * SECOND, end)[0]), 0n);
  for (const [nr, rip] of [
    [NR.epoll_wait, 100n],
    [NR.poll, 102n],
  ] as const) {
    const [other, its] = keepEnd(inRegister(1500), nr, rip, 11n * SECOND, end);
    assert.equal(limitOf(other), 1_500_000_000n);
    assert.equal(its?.end, 12_500_000_000n);
  }
  assert.deepEqual(keepEnd(inRegister(-1), NR.poll, 100n, 0n, end)[1], null);
  assert.deepEqual(keepEnd(inRegister(0), NR.poll, 100n, 0n, null)[1], null);
});
