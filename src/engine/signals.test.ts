import assert from "node:assert/strict";
import { test } from "node:test";
import { TeselaError } from "../base/mod.ts";
import { isInOrder } from "./home-queue.ts";
import { Dispositions, isFault, isSameSignal, isThreadDirected, signalBit, siginfoOf } from "./signals.ts";

const ACTION = 32;
function action(handler: bigint, flags = 0n): Buffer {
  const b = Buffer.alloc(ACTION);
  b.writeBigUInt64LE(handler, 0);
  b.writeBigUInt64LE(flags, 8);
  return b;
}
function info(signal: number, code: number, pid = 0): Buffer {
  const b = Buffer.alloc(128);
  b.writeInt32LE(signal, 0);
  b.writeInt32LE(code, 8);
  b.writeInt32LE(pid, 16);
  return b;
}

test("default effects are those of signal(7)", () => {
  const d = new Dispositions(Buffer.alloc(64 * ACTION));
  const of = (effect: string): number[] => Array.from({ length: 64 }, (_, i) => i + 1).filter((s) => d.effect(s) === effect);
  assert.deepEqual(of("ignore"), [17, 18, 23, 28]);
  assert.deepEqual(of("stop"), [19, 20, 21, 22]);
  assert.deepEqual(of("core"), [3, 4, 5, 6, 7, 8, 11, 24, 25, 31]);
  assert.equal(of("terminate").length, 64 - 4 - 4 - 10);
});

test("actions change them", () => {
  const d = new Dispositions(Buffer.alloc(64 * ACTION));
  d.set(15, action(1n));
  d.set(64, action(0x401000n));
  d.set(1, action(0x401000n, 0x80000000n));
  assert.deepEqual([d.effect(15), d.effect(64), d.effect(1)], ["ignore", "handler", "handler"]);
  d.delivered(64);
  d.delivered(1);
  assert.deepEqual([d.effect(64), d.effect(1)], ["handler", "terminate"], "a one-shot handler is gone once it has been used");
});

test("a mask has bit n-1 for signal n", () => assert.deepEqual([signalBit(1), signalBit(64)], [1n, 1n << 63n]));

test("what a peer sends as a siginfo_t is one, or is refused", () => {
  assert.deepEqual(siginfoOf(info(34, -1)), info(34, -1));
  for (const bad of [Buffer.alloc(0), info(34, 0).subarray(1), Buffer.alloc(129, 1), info(0, 0), info(65, 0), info(-1, 0)]) {
    assert.throws(
      () => siginfoOf(bad),
      (e) => e instanceof TeselaError && e.code === "E_PROTOCOL",
    );
  }
});

test("faults are told from signals that somebody sent, and a thread's from its process's", () => {
  assert.ok(isFault(info(11, 1)));
  assert.ok(!isFault(info(11, 0)) && !isFault(info(11, -6)) && !isFault(info(17, 1)));
  assert.ok(isThreadDirected(info(10, -6)));
  assert.ok(!isThreadDirected(info(10, 0)) && !isThreadDirected(info(10, -1)));
});

test("a signal is the same when all it says is, but for a timer's overrun count", () => {
  const timer = (overrun: number): Buffer => {
    const b = info(14, -2, 7);
    b.writeInt32LE(overrun, 20);
    return b;
  };
  assert.ok(isSameSignal(timer(0), timer(5)));
  assert.ok(!isSameSignal(timer(0), info(14, -2, 8)));
  assert.ok(!isSameSignal(info(34, -1, 1), info(34, -1, 2)));
});

test("a queue is in order when the older ones of each real-time signal come first", () => {
  const [first, second, other, standard] = [info(34, -1, 1), info(34, -1, 2), info(35, -1, 3), info(10, 0)];
  assert.ok(isInOrder([other, first, standard, second], [first, second]));
  assert.ok(!isInOrder([second, first], [first, second]));
  assert.ok(!isInOrder([second], [first]));
  assert.ok(isInOrder([], [standard]), "a standard signal merges with one that has come");
});
