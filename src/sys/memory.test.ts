import assert from "node:assert/strict";
import { test } from "node:test";
import { libc, memory } from "./mod.ts";

const [ESRCH, EAGAIN, EFAULT] = [3, 11, 14];
const NO_PID = 2 ** 22 + 1;

test("an error is believed when the call says it twice", () => {
  const failing = (...errors: readonly number[]): (() => number) => {
    const left = [...errors];
    return () => {
      const error = left.shift() ?? 0;
      libc.errno(error);
      return error === 0 ? 7 : -1;
    };
  };
  assert.equal(libc.settled(failing(ESRCH, ESRCH)), -ESRCH);
  assert.equal(libc.settled(failing(EAGAIN, ESRCH, ESRCH)), -ESRCH);
  assert.equal(libc.settled(failing(EAGAIN)), 7);
  assert.ok(libc.settled(failing(...Array.from({ length: 100 }, (_, i) => i + 1))) < 0);
});

test("memory of another process, as far as it is there", () => {
  const bytes = Buffer.from("some bytes that are longer than a few words, to be in a place of their own");
  const at = libc.addressOf(bytes);
  const into = Buffer.alloc(bytes.length);
  assert.equal(memory.readUpTo(process.pid, at, into), bytes.length);
  assert.deepEqual(into, bytes);
  assert.equal(memory.writeUpTo(process.pid, at, Buffer.from("SOME")), 4);
  assert.equal(bytes.toString("latin1", 0, 10), "SOME bytes");
  assert.equal(memory.readUpTo(process.pid, 0n, into), 0);
  assert.throws(() => memory.writeUpTo(NO_PID, at, into), { errno: ESRCH });
  assert.throws(() => memory.gather(process.pid, [{ addr: 0n, length: into.length }], into), { errno: EFAULT });
});
