import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { after, test } from "node:test";
import fc from "fast-check";
import { MSG, NR, SOCK } from "../abi/mod.ts";
import { libc, Reg, Regs } from "../sys/mod.ts";
import { beforeWrite, endWrite, restOfCall, writtenAtHome } from "./partial-writes.ts";

/** A descriptor that a write waits for, as far as it tells. */
const fd = openSync("/dev/null", "w");
after(() => closeSync(fd));

const MEMORY = 4096;
const AF_UNIX = 1;
const deputy = (memory: Buffer): Parameters<typeof restOfCall>[0] =>
  ({
    pid: process.pid,
    peek: (at: bigint, length: number) => Buffer.from(memory.subarray(Number(at), Number(at) + length)),
    poke: (at: bigint, bytes: Uint8Array) => void memory.set(bytes, Number(at)),
  }) as never;

const request = (nr: number, ...args: bigint[]): Buffer => {
  const r = Buffer.alloc(64);
  [BigInt(nr), ...args].forEach((v, i) => {
    r.writeBigUInt64LE(v, 8 * i);
  });
  return r;
};
const argsOf = (r: Buffer | null): bigint[] => [0, 1, 2, 3].map((i) => r?.readBigUInt64LE(8 + 8 * i) ?? -1n);

test("of a write and a send the rest is left, behind what was written; nothing of one that is whole, or has failed", () => {
  const none = deputy(Buffer.alloc(MEMORY));
  assert.deepEqual(argsOf(restOfCall(none, request(NR.write, BigInt(fd), 64n, 100n), 30n)), [BigInt(fd), 94n, 70n, 0n]);
  const send = restOfCall(none, request(NR.sendto, BigInt(fd), 64n, 100n, 1n), 99n);
  assert.deepEqual(argsOf(send), [BigInt(fd), 163n, 1n, BigInt(MSG.NOSIGNAL) | 1n]);
  for (const result of [100n, 0n, -4n, -512n]) assert.equal(restOfCall(none, request(NR.write, BigInt(fd), 64n, 100n), result), null);
  assert.equal(restOfCall(none, request(NR.read, BigInt(fd), 64n, 100n), 30n), null);
  const file = openSync("/proc/self/exe", "r");
  assert.equal(restOfCall(none, request(NR.write, BigInt(file), 64n, 100n), 30n), null, "a file's count tells more than an interruption");
  closeSync(file);
});

test("of a receive that waits for all the rest is left, where it is from a stream", () => {
  const none = deputy(Buffer.alloc(MEMORY));
  const receive = (s: number, flags: number): Buffer | null =>
    restOfCall(none, request(NR.recvfrom, BigInt(s), 64n, 100n, BigInt(flags)), 30n);
  const [stream, messages] = [SOCK.STREAM, SOCK.SEQPACKET].map((type) => {
    const pair = Buffer.alloc(8);
    libc.syscall("socketpair", NR.socketpair, AF_UNIX, type, 0, libc.addressOf(pair));
    after(() => {
      for (const at of [0, 4]) libc.close(pair.readInt32LE(at));
    });
    return pair.readInt32LE(0);
  });
  assert.deepEqual(argsOf(receive(stream ?? -1, MSG.WAITALL)), [BigInt(stream ?? -1), 94n, 70n, BigInt(MSG.WAITALL)]);
  for (const flags of [0, MSG.WAITALL | MSG.PEEK, MSG.WAITALL | MSG.DONTWAIT]) assert.equal(receive(stream ?? -1, flags), null);
  assert.equal(receive(messages ?? -1, MSG.WAITALL), null, "the next message is another call's");
  assert.equal(receive(fd, MSG.WAITALL), null);
});

test("of a vector those bytes are left that were not written", () => {
  const length = fc.integer({ min: 0, max: 40 });
  fc.assert(
    fc.property(fc.array(length, { minLength: 1, maxLength: 8 }), fc.nat(), fc.boolean(), (lengths, some, message) => {
      const memory = Buffer.alloc(MEMORY);
      const bytes = lengths.flatMap((n, i) => Array.from({ length: n }, (_, at) => 1000 + 64 * i + at));
      lengths.forEach((n, i) => {
        memory.writeBigUInt64LE(BigInt(1000 + 64 * i), 512 + 16 * i);
        memory.writeBigUInt64LE(BigInt(n), 520 + 16 * i);
      });
      memory.writeBigUInt64LE(512n, 16);
      memory.writeBigUInt64LE(BigInt(lengths.length), 24);
      memory.writeBigUInt64LE(20n, 40);
      const done = bytes.length === 0 ? 0 : some % (bytes.length + 1);
      const before = message ? request(NR.sendmsg, BigInt(fd), 0n, 0n) : request(NR.writev, BigInt(fd), 512n, BigInt(lengths.length));
      const rest = restOfCall(deputy(memory), before, BigInt(done));
      if (done === 0 || done === bytes.length) return assert.equal(rest, null);
      const [, at = 0n, count = 0n] = argsOf(rest);
      const [iov, n] = message ? [memory.readBigUInt64LE(16), memory.readBigUInt64LE(24)] : [at, count];
      const left: number[] = [];
      for (let i = 0; i < Number(n); i++) {
        const [base, size] = [0, 8].map((o) => Number(memory.readBigUInt64LE(Number(iov) + 16 * i + o)));
        for (let b = 0; b < (size ?? 0); b++) left.push((base ?? 0) + b);
      }
      assert.deepEqual(left, bytes.slice(done));
      if (message) assert.deepEqual([memory.readBigUInt64LE(40), count], [0n, BigInt(MSG.NOSIGNAL)], "what came along goes once");
    }),
  );
});

test("registers at the end of a write that was cut short stand before it, and behind it again with what was written", () => {
  const regs = new Regs();
  for (const [reg, value] of [
    [Reg.rip, 0x401002n],
    [Reg.origRax, BigInt(NR.write)],
    [Reg.rax, 30n],
    [Reg.rdi, BigInt(fd)],
    [Reg.rdx, 100n],
  ] as const)
    regs.set(reg, value);
  const written = writtenAtHome(process.pid, regs);
  assert.deepEqual(written, { nr: NR.write, rip: 0x401000n, done: 30n });
  beforeWrite(regs, written);
  assert.deepEqual([regs.get(Reg.rip), regs.get(Reg.rax), regs.syscallNumber], [0x401000n, BigInt(NR.write), -1]);
  assert.equal(endWrite(regs, { ...written, rip: 0x500000n }), false);
  assert.equal(endWrite(regs, written), true);
  assert.deepEqual([regs.get(Reg.rip), regs.get(Reg.rax)], [0x401002n, 30n]);
});
