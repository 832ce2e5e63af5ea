import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TeselaError } from "../base/mod.ts";
import { decodeImage, encodeImage } from "./codec.ts";
import { type Image, MM_FIELDS, type Vma } from "./image.ts";

const hash = "0123456789abcdef".repeat(4);
const info = (signal: number): Buffer => {
  const b = Buffer.alloc(128, 3);
  b.writeInt32LE(signal, 0);
  return b;
};
const area = (start: bigint, end: bigint, more: Partial<Vma> = {}): Vma => ({
  start,
  end,
  prot: 3,
  growsDown: false,
  advice: 5,
  backing: { kind: "anon" },
  ...more,
});

const IMAGE: Image = {
  pid: 4711,
  vmas: [
    area(0x400000n, 0x401000n, { prot: 5, backing: { kind: "file", hash, offset: 0x2000n } }),
    area(0x401000n, 0x500000n, { prot: 0 }),
    area(0x600000n, 0x700000n, { backing: { kind: "shared", object: "17.0", offset: 0x1000n, writable: true } }),
    area(0x7fff_ff00_0000n, 0x7fff_ffff_f000n, { growsDown: true }),
  ],
  objects: [{ name: "17.0", size: 0x101000 }],
  vdso: { start: 0x7fff_f7fc_1000n, end: 0x7fff_f7fc_7000n, hash: "ab".repeat(32), random: Buffer.alloc(64, 3) },
  mm: Object.fromEntries(MM_FIELDS.map((f, i) => [f, 0x1000n + BigInt(i)])) as Image["mm"],
  sigactions: Buffer.alloc(64 * 32, 5),
  pending: [info(10)],
  threads: [
    {
      tid: 4711,
      regs: Buffer.alloc(216, 0xff),
      xstate: Buffer.alloc(2696, 7),
      sigmask: 0xffff_ffff_ffff_ffffn,
      altStack: { sp: 0xffff_ffff_ffff_ffffn, flags: -2147483648, size: 8192n },
      robustList: 1n,
      clearTid: 2n,
      rseq: { pointer: 0x1000n, size: 32, signature: 0x53053053, flags: 0 },
      pending: [info(34), info(34)],
      restart: { nr: 35 },
      written: { nr: 1, rip: 0x402000n, done: 65536n },
      position: { fd: 3, at: 4096n },
      waitEnd: { nr: 35, rip: 0x401000n, end: 2n ** 62n },
      cpuUsed: { user: 1_000, system: 2_000 },
    },
  ],
  signalsAtHome: true,
  limits: { stack: [8n << 20n, 0xffff_ffff_ffff_ffffn], data: [1n, 2n], as: [3n, 4n] },
  cpuUsed: { user: 123_456_789, system: 0 },
  clocks: { monotonic: 1n, boot: 2n ** 63n },
  barriers: 0x14,
  nice: -20,
  ids: { uid: 0, euid: 1000, gid: 4294967294, egid: 5 },
};
const isProtocol = (e: unknown): boolean => e instanceof TeselaError && e.code === "E_PROTOCOL";
const plain = (i: Image): unknown =>
  JSON.parse(
    JSON.stringify(i, (_, v: unknown) =>
      typeof v === "bigint"
        ? `${v}n`
        : v instanceof Uint8Array
          ? Buffer.from(v).toString("hex")
          : v && typeof v === "object" && "type" in v && "data" in v
            ? Buffer.from((v as { data: number[] }).data).toString("hex")
            : v,
    ),
  );

test("an image comes out as it went in", () => {
  assert.deepEqual(plain(decodeImage(encodeImage(IMAGE))), plain(IMAGE));
  const bare: Image = { ...IMAGE, vmas: [], vdso: null, pending: [], threads: [] };
  assert.deepEqual(plain(decodeImage(encodeImage(bare))), plain(bare));
});

test("a thousand threads fit, with registers of the biggest kind of which they use few", () => {
  const [thread] = IMAGE.threads;
  assert.ok(thread);
  const xstate = Buffer.alloc(11_008);
  xstate.fill(7, 0, 2696);
  const threads = Array.from({ length: 1000 }, (_, i) => ({ ...thread, tid: 4711 + i, xstate }));
  const bytes = encodeImage({ ...IMAGE, threads });
  assert.ok(bytes.length < 5 << 20, `${bytes.length} bytes`);
  assert.deepEqual(plain(decodeImage(bytes)), plain({ ...IMAGE, threads }));
  const full = threads.slice(0, 200).map((t) => ({ ...t, xstate: Buffer.alloc(11_008, 7) }));
  assert.deepEqual(plain(decodeImage(encodeImage({ ...IMAGE, threads: full }))), plain({ ...IMAGE, threads: full }));
  const zeros = { ...IMAGE, threads: [{ ...thread, xstate: Buffer.alloc(2696) }] };
  assert.deepEqual(plain(decodeImage(encodeImage(zeros))), plain(zeros));
});

test("more registers than a node takes are refused", () => {
  const [thread] = IMAGE.threads;
  assert.ok(thread);
  const threads = Array.from({ length: 5000 }, (_, i) => ({ ...thread, tid: 4711 + i, pending: [], xstate: Buffer.alloc(16_384) }));
  assert.throws(() => decodeImage(encodeImage({ ...IMAGE, threads })), isProtocol);
});

test("cut off anywhere, it is refused", () => {
  const bytes = encodeImage(IMAGE);
  for (let n = 0; n < bytes.length; n++) assert.throws(() => decodeImage(bytes.subarray(0, n)), isProtocol, `${n} bytes`);
  assert.throws(() => decodeImage(Buffer.concat([bytes, Buffer.of(0)])), isProtocol);
});

test("damaged bytes and garbage are refused or make an image, never another error", () => {
  const bytes = encodeImage(IMAGE);
  const tryDecode = (b: Buffer): void => {
    try {
      decodeImage(b);
    } catch (e) {
      assert.ok(isProtocol(e), String(e));
    }
  };
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }), (hits) => {
      const damaged = Buffer.from(bytes);
      for (const [at, value] of hits) damaged[at] = value;
      tryDecode(damaged);
    }),
    { numRuns: 2000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (b) => tryDecode(Buffer.from(b))));
});

test("areas that cannot be are refused", () => {
  const bad: readonly (readonly Vma[])[] = [
    [area(0x2000n, 0x1000n)],
    [area(0x1000n, 0x1000n)],
    [area(0x1001n, 0x2000n)],
    [area(0x1000n, 0x3000n), area(0x2000n, 0x4000n)],
    [area(0x3000n, 0x4000n), area(0x1000n, 0x2000n)],
    [area(0x7fff_ffff_f000n, 0x8000_0000_0000n)],
  ];
  for (const vmas of bad) assert.throws(() => decodeImage(encodeImage({ ...IMAGE, vmas })), isProtocol);
});

test("a signal that is not whole, and too few actions or registers, are refused", () => {
  const short = Buffer.alloc(64, 1);
  const [thread] = IMAGE.threads;
  assert.ok(thread);
  for (const image of [
    { ...IMAGE, pending: [short] },
    { ...IMAGE, threads: [{ ...thread, pending: [short] }] },
    { ...IMAGE, threads: [{ ...thread, regs: short }] },
    { ...IMAGE, sigactions: short },
  ]) {
    assert.throws(() => decodeImage(encodeImage(image)), isProtocol);
  }
});
