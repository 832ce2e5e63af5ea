import assert from "node:assert/strict";
import { test } from "node:test";
import { NR, O, S, SEEK, STAT } from "../abi/mod.ts";
import { type ForwardPlan, type GuestMemory, planCall } from "../forward/mod.ts";
import { OpenedFile, opensToRead } from "./read-ahead.ts";

const BASE = 0x2000_0000_8000n;
const AREA = { base: BASE, size: 1 << 20 };
const CONTEXT = { pid: 1, tid: 1, reservedFds: [] };
const AT = 0x10000n;
const FD = 5;

/** The program's memory, a megabyte from {@link AT} on; nothing can be written below. */
class Memory implements GuestMemory {
  readonly bytes = Buffer.alloc(1 << 20);
  read = (address: bigint, length: number): Buffer => this.bytes.subarray(Number(address - AT), Number(address - AT) + length);
  readUpTo = this.read;
  write = (address: bigint, bytes: Uint8Array): void => this.bytes.set(bytes, Number(address - AT));
  writable = (address: bigint): boolean => address >= AT;
}

function opened(
  text: string,
  size = text.length,
): { file: OpenedFile; memory: Memory; call: (nr: number, ...args: bigint[]) => bigint | null } {
  const stat = Buffer.alloc(STAT.size);
  stat.writeUInt32LE(S.IFREG | 0o644, STAT.at.st_mode);
  stat.writeBigInt64LE(BigInt(size), STAT.at.st_size);
  const file = new OpenedFile(FD, Buffer.concat([stat, Buffer.from(text)]));
  const memory = new Memory();
  const call = (nr: number, ...args: bigint[]): bigint | null => {
    const plan = planCall(nr, args, memory, AREA, CONTEXT);
    return plan.kind === "forward" ? file.answer(nr, plan, BASE, memory) : null;
  };
  return { file, memory, call };
}

test("what is read is what came, up to the end", () => {
  const { file, memory, call } = opened("hello");
  assert.equal(call(NR.fstat, 5n, AT), 0n);
  assert.equal(memory.bytes.readBigInt64LE(STAT.at.st_size), 5n);
  assert.equal(call(NR.read, 5n, AT, 2n), 2n);
  assert.equal(memory.bytes.toString("latin1", 0, 2), "he");
  assert.deepEqual(file.position, { fd: FD, at: 2n });
  assert.equal(call(NR.fstat, 5n, AT), null, "it has been read since");
  assert.equal(call(NR.read, 5n, AT, 100n), 3n);
  assert.equal(memory.bytes.toString("latin1", 0, 3), "llo");
  assert.equal(call(NR.read, 5n, AT, 100n), 0n);
  assert.deepEqual(file.position, { fd: FD, at: 5n });
});

test("where it stands can be set as by the kernel", () => {
  const { file, call } = opened("hello");
  const seek = (by: bigint, whence: number): bigint | null => call(NR.lseek, 5n, BigInt.asUintN(64, by), BigInt(whence));
  assert.equal(seek(-2n, SEEK.END), 3n);
  assert.equal(seek(1n, SEEK.CUR), 4n);
  assert.equal(seek(-5n, SEEK.CUR), -22n);
  assert.deepEqual(file.position, { fd: FD, at: 4n });
  assert.equal(seek(6n, SEEK.SET), null, "behind the end: home knows what that means");
  assert.equal(seek(0n, SEEK.DATA), null);
  assert.equal(seek(0n, SEEK.SET), 0n);
  assert.equal(file.position, null);
});

test("only calls about that descriptor, and of which the answer is known", () => {
  const { file, call } = opened("hello");
  assert.equal(call(NR.read, 6n, AT, 2n), null);
  assert.equal(call(NR.fstat, 6n, AT), null);
  assert.equal(call(NR.pread64, 5n, AT, 2n, 0n), null);
  assert.equal(call(NR.read, 5n, 8n, 2n), null, "a bad address");
  assert.equal(call(NR.read, 5n, AT, 0n), null, "nothing");
  assert.equal(call(NR.close, 5n), null);
  assert.equal(file.position, null);
});

test("a file that did not come whole is home's to read", () => {
  for (const size of [4, 6, 100_000]) {
    const { call } = opened("hello", size);
    assert.equal(call(NR.fstat, 5n, AT), 0n);
    assert.equal(call(NR.read, 5n, AT, 2n), null);
    assert.equal(call(NR.lseek, 5n, 1n, 0n), null);
  }
  assert.equal(opened("").call(NR.read, 5n, AT, 2n), null, "one that may be made up as it is read");
});

test("only what is opened to be read, and in no special way, is read ahead", () => {
  const plan = { args: [AT, 0n] } as unknown as ForwardPlan;
  const flags = (f: number): boolean => opensToRead(NR.open, { ...plan, args: [AT, BigInt(f)] }) !== null;
  assert.ok(flags(O.RDONLY) && flags(O.CLOEXEC) && flags(O.NOCTTY));
  for (const f of [O.WRONLY, O.RDWR, O.ACCMODE, O.CREAT, O.TRUNC, O.DIRECT, O.DIRECTORY, O.NOFOLLOW, O.NONBLOCK, O.PATH, O.NOATIME])
    assert.ok(!flags(f), `0${f.toString(8)}`);
  assert.deepEqual(opensToRead(NR.openat, { ...plan, args: [7n, AT, 0n] }), { pathAt: 1, dirfd: 7 });
  assert.equal(opensToRead(NR.openat2, { ...plan, args: [7n, AT, 0n] }), null);
});
