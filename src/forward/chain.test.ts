/** Chains of deputy calls when something happens in the middle of one. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ERRNO, IOVEC, MMSGHDR, MSGHDR, NR, O, RWF, S, STAT } from "../abi/mod.ts";
import { type DeputyArea, type ForwardPlan, MIN_AREA, type Plan, planCall } from "./mod.ts";
import { FakeMemory } from "./testdata/fake-memory.ts";

const area: DeputyArea = { base: 0x10_0000n, size: MIN_AREA };
const ctx = { pid: 1, tid: 1, reservedFds: [] };
const ERESTARTSYS = -512n;

/** Plays a deputy whose answers are written down; what the call ends with, and the calls that it made. */
function play(
  mem: FakeMemory,
  nr: number,
  args: readonly (bigint | number)[],
  answers: readonly (readonly [bigint, Uint8Array?])[],
): { end: Plan | bigint; calls: ForwardPlan[] } {
  const calls: ForwardPlan[] = [];
  let plan = planCall(
    nr,
    Array.from({ length: 6 }, (_, i) => BigInt(args[i] ?? 0)),
    mem,
    area,
    ctx,
  );
  for (const [result, out] of answers) {
    assert.ok(plan.kind === "forward", `a call for ${result}`);
    calls.push(plan);
    const next = plan.finish(result, out ?? Buffer.alloc(0), mem);
    if ("done" in next) return { end: next.done, calls };
    plan = next.again;
  }
  return { end: plan, calls };
}

const stat = (type: number): Buffer => {
  const b = Buffer.alloc(STAT.size);
  b.writeUInt32LE(type | 0o644, STAT.at.st_mode);
  return b;
};
const full = BigInt(MIN_AREA);
const data = Buffer.alloc(MIN_AREA, 7);

describe("a large read", () => {
  const mem = new FakeMemory();
  const into = mem.map(4 * MIN_AREA);
  const read = (...answers: (readonly [bigint, Uint8Array?])[]): bigint | Plan => play(mem, NR.read, [3, into, 4 * MIN_AREA], answers).end;

  test("goes on to the end of a file", () => {
    assert.equal(read([0n, stat(S.IFREG)], [full, data], [full, data], [10n, data.subarray(0, 10)]), 2n * full + 10n);
    assert.equal(read([0n, stat(S.IFREG)], [full, data], [0n]), full);
    assert.equal(read([0n, stat(S.IFREG)], [full, data], [full, data], [full, data], [full, data]), 4n * full);
  });
  test("counts what it has when it is interrupted or fails later", () => {
    assert.equal(read([0n, stat(S.IFREG)], [full, data], [ERESTARTSYS]), full);
    assert.equal(read([0n, stat(S.IFREG)], [full, data], [BigInt(-ERRNO.EIO)]), full);
  });
  test("starts again when it is interrupted before it has anything", () => {
    assert.equal(read([0n, stat(S.IFIFO)], [ERESTARTSYS]), ERESTARTSYS);
    assert.equal(read([ERESTARTSYS]), ERESTARTSYS);
  });
  test("takes what a pipe gives", () => assert.equal(read([0n, stat(S.IFIFO)], [full, data]), full));
  test("says what the descriptor is", () => assert.equal(read([BigInt(-ERRNO.EBADF)]), BigInt(-ERRNO.EBADF)));
  test("of a message that is too large goes home before it is taken", () => {
    const socket = Buffer.from([2, 0, 0, 0]);
    assert.deepEqual(read([0n, stat(S.IFSOCK)], [0n, socket], [1_000_000n]), { kind: "back", reason: "big_message" });
    assert.equal(read([0n, stat(S.IFSOCK)], [0n, socket], [100n], [100n, data.subarray(0, 100)]), 100n);
  });
  test("asks for what is left, at the place where it is", () => {
    const { calls } = play(
      mem,
      NR.pread64,
      [3, into, 3 * MIN_AREA, 1000],
      [
        [0n, stat(S.IFREG)],
        [full, data],
        [full, data],
      ],
    );
    assert.deepEqual(
      calls.slice(1).map((c) => c.args[3]),
      [1000n, 1000n + full],
    );
  });
});

describe("a large write", () => {
  const mem = new FakeMemory();
  const from = mem.map(3 * MIN_AREA);
  const write = (...answers: (readonly [bigint, Uint8Array?])[]): bigint | Plan =>
    play(mem, NR.write, [3, from, 3 * MIN_AREA], answers).end;

  const file = [[0n, stat(S.IFREG)] as const, [BigInt(O.RDWR)] as const] as const;

  test("ends where the kernel takes less", () => {
    assert.equal(write(...file, [full], [full], [full]), 3n * full);
    assert.equal(write(...file, [full], [5n]), full + 5n);
    assert.equal(write([0n, stat(S.IFIFO)], [full], [BigInt(-ERRNO.EAGAIN)]), full);
    assert.equal(write([0n, stat(S.IFIFO)], [ERESTARTSYS]), ERESTARTSYS);
    assert.equal(write(...file, [BigInt(-ERRNO.ENOSPC)]), BigInt(-ERRNO.ENOSPC));
  });
  test("that appends goes home, where it is one piece", () => {
    const appends = { kind: "back", reason: "big_append" };
    assert.deepEqual(write([0n, stat(S.IFREG)], [BigInt(O.WRONLY | O.APPEND)]), appends);
    assert.equal(write([0n, stat(S.IFREG)], [ERESTARTSYS]), ERESTARTSYS, "a move meets the question");
    const iovec = mem.map(IOVEC.size);
    const head = Buffer.alloc(IOVEC.size);
    head.writeBigUInt64LE(from, IOVEC.at.iov_base);
    head.writeBigUInt64LE(3n * full, IOVEC.at.iov_len);
    mem.write(iovec, head);
    const vector = (flags: number, ...answers: (readonly [bigint, Uint8Array?])[]): bigint | Plan =>
      play(mem, NR.pwritev2, [3, iovec, 1, 0, 0, flags], answers).end;
    assert.deepEqual(vector(RWF.APPEND, ...file), appends);
    assert.deepEqual(vector(0, [0n, stat(S.IFREG)], [BigInt(O.APPEND)]), appends);
    assert.equal(vector(RWF.NOAPPEND, [0n, stat(S.IFREG)], [5n]), 5n);
  });
  test("ends where the program's memory ends", () => {
    const { end, calls } = play(mem, NR.write, [3, from, 10 * MIN_AREA], [...file, [full], [full], [full]]);
    assert.deepEqual(end, { kind: "answer", result: 3n * full });
    assert.equal(calls.length, 5);
  });
  test("of nothing that can be read is the kernel's EFAULT", () => {
    const { calls } = play(mem, NR.write, [3, 0x7777_0000_0000n, 3 * MIN_AREA], [[BigInt(-ERRNO.EFAULT)]]);
    assert.equal(calls[0]?.nr, NR.write);
    assert.equal(calls[0]?.args[1], 8n);
  });
});

describe("several messages", () => {
  const mem = new FakeMemory();
  const text = mem.string("x");
  const vector = Buffer.alloc(IOVEC.size);
  vector.writeBigUInt64LE(text, 0);
  vector.writeBigUInt64LE(1n, 8);
  const iov = mem.map(vector);
  const heads = Buffer.alloc(3 * MMSGHDR.size);
  for (let i = 0; i < 3; i++) {
    heads.writeBigUInt64LE(iov, i * MMSGHDR.size + MSGHDR.at.msg_iov);
    heads.writeBigUInt64LE(1n, i * MMSGHDR.size + MSGHDR.at.msg_iovlen);
  }
  const at = mem.map(heads);

  test("count those before the first that failed", () => {
    assert.equal(play(mem, NR.sendmmsg, [3, at, 3, 0], [[1n], [1n], [1n]]).end, 3n);
    assert.equal(play(mem, NR.sendmmsg, [3, at, 3, 0], [[1n], [BigInt(-ERRNO.EPIPE)]]).end, 1n);
    assert.equal(play(mem, NR.sendmmsg, [3, at, 3, 0], [[BigInt(-ERRNO.EPIPE)]]).end, BigInt(-ERRNO.EPIPE));
    assert.equal(play(mem, NR.sendmmsg, [3, at, 3, 0], [[1n], [ERESTARTSYS]]).end, 1n);
  });
});
