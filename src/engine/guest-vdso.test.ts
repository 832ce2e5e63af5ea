/** A vdso of another kernel, built here, stands in for home's: its functions do what they are for, and nothing else of it runs. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { CLOCK } from "../abi/mod.ts";
import { Log, TeselaError } from "../base/mod.ts";
import { contentHash, parseVdso, SKELETON_BASE, LOCAL_VDSO_END, standsAt, Stub, THUNKS_AT, type VdsoArea } from "../image/mod.ts";
import { isErrno, libc, memory, ptrace, Reg, Regs, Tracees } from "../sys/mod.ts";
import { FileCache } from "./file-cache.ts";
import { type GuestVdso, mapVdso } from "./guest-vdso.ts";
import { Sys } from "./numbers.ts";
import { ownVdso } from "./own-vdso.ts";
import { runList } from "./skeleton.ts";
import { Zygote } from "./zygote.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const PAGE = 4096n;
const SIGTRAP = 5;
const [SIGILL, SIGKILL, SIGSEGV] = [4, 9, 11];
const RESUME_FLAG = 0x10000n;
const EINVAL = -22n;
const EFAULT = -14n;
/** Those whose values tell a detour. */
const SHOWN = [Reg.rsp, Reg.rbp, Reg.rax, Reg.rcx, Reg.rdx, Reg.rsi, Reg.rdi, Reg.r8, Reg.r11, Reg.r15];

/** In another order and at other places than any kernel has them, and with functions that nobody knows. */
const SOURCE = `
#define F(name) __attribute__((visibility("default"), noinline, aligned(32))) long __vdso_##name(long a, long b) { \\
  static volatile long data[40]; for (long i = 0; i < 40; i++) data[i] += a * i + b; return 77 + data[a & 31]; }
#define W(name) extern __typeof__(__vdso_##name) name __attribute__((weak, alias("__vdso_" #name), visibility("default")));
F(sgx_enter_enclave) F(getcpu) F(time) F(getrandom) F(clock_getres) F(of_the_future) F(gettimeofday) F(clock_gettime)
W(clock_gettime) W(gettimeofday) W(time) W(getcpu)
`;

function foreignVdso(): Buffer {
  const dir = mkdtempSync(join(tmpdir(), "tesela-vdso-"));
  try {
    writeFileSync(join(dir, "vdso.c"), SOURCE);
    const flags =
      "-O1 -w -shared -nostdlib -fPIC -fvisibility=hidden -fno-builtin -fcf-protection=none -s -Wl,-z,noseparate-code,-z,norelro";
    execFileSync("gcc", [...flags.split(" "), "-Wl,--hash-style=both", "-o", "vdso.so", "vdso.c"], { cwd: dir });
    const bytes = readFileSync(join(dir, "vdso.so"));
    return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 0xfff)]);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** A skeleton with a vdso of another home, and room for what is asked of it. */
class Machine implements Disposable {
  readonly tracees = new Tracees();
  readonly tid: number;
  readonly area: VdsoArea;
  readonly vdso: GuestVdso;
  readonly functions: ReadonlyMap<string, number>;
  readonly code: bigint;
  /** Two pages, the first for results, the second for the stack. */
  readonly room = 0x5000_0000n;
  private readonly stack: DisposableStack;

  constructor(bytes: Buffer, random: Buffer | null) {
    const { tracees } = this;
    // What is begun and not finished is taken down.
    using stack = new DisposableStack();
    const dir = mkdtempSync(join(tmpdir(), "tesela-vdso-"));
    stack.defer(() => rmSync(dir, { recursive: true }));
    const fd = openSync(`${dir}/log`, "a");
    stack.defer(() => closeSync(fd));
    stack.use(tracees);
    const zygote = stack.use(Zygote.start(tracees, `${dir}/empty`, new Log({ level: "debug", fd })));
    const cache = stack.use(new FileCache());
    const hash = contentHash(bytes);
    using file = cache.create(hash, bytes.length);
    file.write(bytes);
    file.commit();
    const space = zygote.space(null);
    this.tid = space.spawn(4711);
    stack.defer(() => {
      libc.kill(this.tid, SIGKILL);
      space.leave();
    });
    const start = 0x7f12_3400_0000n;
    this.area = { start, end: start + 4n * PAGE + BigInt(bytes.length), hash, random };
    this.code = start + 4n * PAGE;
    this.vdso = mapVdso(tracees, this.tid, this.area, [], "another", cache);
    this.functions = parseVdso(bytes)?.functions ?? new Map();
    runList(tracees, this.tid, [{ nr: Sys.mmap, args: [this.room, 2n * PAGE, 3, 0x100022, -1, 0] }]);
    this.stack = stack.move();
  }

  entry(name: string): bigint {
    const offset = this.functions.get(name);
    assert.ok(offset !== undefined, name);
    return this.code + BigInt(offset);
  }

  /** Calls a function, which returns to an int3. @returns rax, and the signal that ended it otherwise */
  call(name: string, ...args: readonly bigint[]): { result: bigint; signal: number; regs: Regs } {
    const regs = new Regs();
    ptrace.getRegs(this.tid, regs.bytes);
    const back = Buffer.alloc(8);
    back.writeBigUInt64LE(SKELETON_BASE + BigInt(Stub.one) + 2n);
    const rsp = this.room + 2n * PAGE - 8n;
    memory.writeUpTo(this.tid, rsp, back);
    regs.set(Reg.rip, this.entry(name));
    regs.set(Reg.rsp, rsp);
    regs.set(Reg.origRax, -1n);
    for (const [i, r] of [Reg.rdi, Reg.rsi, Reg.rdx, Reg.rcx, Reg.r8].entries()) regs.set(r, args[i] ?? 0n);
    const signal = this.run(regs);
    return { result: regs.result, signal, regs };
  }

  /** From these registers to the next signal; the registers are then those that it met. */
  run(regs: Regs): number {
    ptrace.setRegs(this.tid, regs.bytes);
    ptrace.cont(this.tid);
    const s = this.tracees.wait(this.tid);
    assert.equal(s.kind, "signal", JSON.stringify(s));
    ptrace.getRegs(this.tid, regs.bytes);
    return s.kind === "signal" ? s.signal : 0;
  }
  peek(at: bigint, bytes: number): Buffer {
    const out = Buffer.alloc(bytes);
    assert.equal(memory.readUpTo(this.tid, at, out), bytes);
    return out;
  }
  syscall(nr: number, ...args: (bigint | number)[]): bigint {
    return runList(this.tracees, this.tid, [{ nr, args }], true)[0] ?? 0n;
  }

  [Symbol.dispose](): void {
    this.stack[Symbol.dispose]();
  }
}

const ns = (b: Buffer): bigint => b.readBigInt64LE(0) * 1_000_000_000n + b.readBigInt64LE(8);

test("every function does what it is for", { skip }, () => {
  using m = new Machine(foreignVdso(), null);
  const { room } = m;
  const done = (r: { result: bigint; signal: number }): bigint => {
    assert.equal(r.signal, SIGTRAP);
    return r.result;
  };
  for (let round = 0; round < 20; round++) {
    for (const [name, clock] of Object.entries(CLOCK)) {
      const before = m.syscall(Sys.clockGettime, clock, room + 64n);
      const told = m.peek(room + 64n, 16);
      assert.equal(done(m.call("clock_gettime", BigInt(clock), room)), before, name);
      if (isErrno(before)) continue;
      m.syscall(Sys.clockGettime, clock, room + 96n);
      const now = ns(m.peek(room, 16));
      assert.ok(ns(told) <= now && now <= ns(m.peek(room + 96n, 16)), name);
      assert.equal(done(m.call("clock_getres", BigInt(clock), room)), 0n);
      m.syscall(229, clock, room + 64n);
      assert.equal(ns(m.peek(room, 16)), ns(m.peek(room + 64n, 16)), name);
      assert.equal(done(m.call("clock_getres", BigInt(clock), 0n)), 0n);
    }
    assert.equal(done(m.call("clock_gettime", 1234n, room)), EINVAL);
    assert.equal(done(m.call("gettimeofday", room, room + 32n)), 0n);
    assert.ok(Math.abs(Number(m.peek(room, 8).readBigInt64LE()) * 1000 - Date.now()) < 5000);
    assert.equal(done(m.call("gettimeofday", 0n, 0n)), 0n);
    const seconds = done(m.call("time", room));
    assert.equal(m.peek(room, 8).readBigInt64LE(), seconds);
    assert.ok(Math.abs(Number(done(m.call("time", 0n))) * 1000 - Date.now()) < 5000);
    assert.equal(done(m.call("getcpu", room, room + 4n)), 0n);
    assert.ok(m.peek(room, 4).readUInt32LE() < 8192 && m.peek(room + 4n, 4).readUInt32LE() < 1024);
  }
});

test("random data comes from the kernel, and states are as home's kernel has them", { skip }, () => {
  const params = Buffer.alloc(64);
  params.writeUInt32LE(200, 0);
  params.writeUInt32LE(3, 4);
  params.writeUInt32LE(0x28, 8);
  using m = new Machine(foreignVdso(), params);
  const { room } = m;
  const ask = (...args: readonly bigint[]): bigint => m.call("getrandom", ...args).result;
  assert.equal(ask(0n, 0n, 0n, room, 0xffff_ffff_ffff_ffffn), 0n);
  assert.deepEqual(m.peek(room, 64), params);
  memory.writeUpTo(m.tid, room, Buffer.alloc(PAGE_BYTES));
  assert.equal(ask(room, 32n, 0n, room + 1024n, 200n), 32n);
  assert.equal(ask(room + 32n, 32n, 0n, room + PAGE - 200n, 200n), 32n);
  const got = m.peek(room, 64);
  assert.notDeepEqual(got.subarray(0, 32), got.subarray(32));
  assert.ok(got.some((b) => b !== 0));
  // The state is left alone, one that crosses a page is refused, and flags are judged by the kernel.
  assert.ok(m.peek(room + 64n, PAGE_BYTES - 64).every((b) => b === 0));
  assert.equal(ask(room, 32n, 0n, room + PAGE - 199n, 200n), EFAULT);
  assert.equal(ask(room, 32n, 0xff00n, room + 1024n, 200n), EINVAL);
  assert.equal(ask(8n, 32n, 0n, room + 1024n, 200n), EFAULT);
  assert.equal(ask(0n, 0n, 0n, room + 1024n, 200n), 0n);
});
const PAGE_BYTES = Number(PAGE);

test("what it does not know, and bad pointers, fault where home can go on", { skip }, () => {
  using m = new Machine(foreignVdso(), null);
  const { patched } = m.vdso;
  assert.ok(patched);
  const at = (r: { signal: number; regs: Regs }): bigint | null => {
    assert.ok(r.signal === SIGSEGV || r.signal === SIGILL, `signal ${r.signal}`);
    return standsAt(r.regs.get(Reg.rip), patched, { start: THUNKS_AT, end: LOCAL_VDSO_END });
  };
  for (const name of ["of_the_future", "sgx_enter_enclave"]) assert.equal(at(m.call(name)), m.entry(name));
  assert.equal(at(m.call("getrandom", 0n, 0n, 0n, m.room, 0xffff_ffff_ffff_ffffn)), m.entry("getrandom"));
  const bad = 0xdead_0000n;
  const edge = m.room + 2n * PAGE - 8n;
  const calls: readonly (readonly [string, ...bigint[]])[] = [
    ["clock_gettime", 1n, bad],
    ["clock_gettime", 1n, edge],
    ["clock_gettime", 0n, 0n],
    ["clock_getres", 1n, bad],
    ["gettimeofday", bad, 0n],
    ["gettimeofday", 0n, bad],
    ["time", bad],
    ["getcpu", bad, 0n],
    ["getcpu", 0n, bad],
  ];
  for (const [name, ...args] of calls) {
    const r = m.call(name, ...args);
    assert.equal(at(r), m.entry(name), name);
    for (const [i, reg] of [Reg.rdi, Reg.rsi].entries()) assert.equal(r.regs.get(reg), args[i] ?? 0n, name);
    assert.equal(r.regs.get(Reg.rsp), edge);
  }
});

test("a thread that stood anywhere in home's code faults just there", { skip }, () => {
  for (const bytes of [foreignVdso(), ownVdso()?.bytes]) {
    assert.ok(bytes);
    using m = new Machine(bytes, null);
    const entries = new Set(m.vdso.patched?.entries.map((e) => e.at));
    assert.ok(entries.size >= 5);
    const regs = new Regs();
    ptrace.getRegs(m.tid, regs.bytes);
    regs.set(Reg.origRax, -1n);
    for (const reg of SHOWN) regs.set(reg, m.room + PAGE + BigInt(reg));
    regs.set(Reg.rdx, 0x80n);
    const elf = parseVdso(bytes);
    for (const { start, end } of elf?.code ?? []) {
      for (let at = m.code + BigInt(start); at < m.code + BigInt(end); at++) {
        if (entries.has(at)) continue;
        regs.set(Reg.rip, at);
        const met = regs.clone();
        const signal = m.run(met);
        assert.ok(signal === SIGSEGV || signal === SIGILL, `signal ${signal} at ${(at - m.code).toString(16)}`);
        // The processor sets the resume flag for whoever repairs a fault.
        met.set(Reg.eflags, met.get(Reg.eflags) & ~RESUME_FLAG);
        assert.deepEqual(met.words, regs.words, `at ${(at - m.code).toString(16)}`);
      }
    }
  }
});

test("what is no vdso is refused by name", { skip }, () => {
  const good = foreignVdso();
  const cases: Readonly<Record<string, Buffer>> = {
    "no ELF": Buffer.alloc(8192, 1),
    "no sections": Buffer.from(good).fill(0, 40, 48),
    "sections outside": Buffer.from(good).fill(0xff, 40, 48),
  };
  for (const [what, bytes] of Object.entries(cases)) {
    assert.throws(
      () => new Machine(bytes, null)[Symbol.dispose](),
      (e) => e instanceof TeselaError && e.code === "E_CANTMOVE" && (e.details.reasons as string[])[0] === "kernel_differs",
      what,
    );
  }
});
