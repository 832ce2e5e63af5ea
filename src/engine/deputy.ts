import { Socket } from "node:net";
import { assert, type Log, TeselaError } from "../base/mod.ts";
import {
  buildSigframe,
  Exchange,
  fitXstate,
  type FrameState,
  packCall,
  type RawCall,
  REQUEST_BYTES,
  RESULT_BYTES,
  Stub,
  stubCode,
} from "../image/mod.ts";
import { libc, memory, NO_SYSCALL, proc, ptrace, Reg, Regs, isErrno, SysError, type Tracees } from "../sys/mod.ts";
import { isRestart, repeatRegs } from "./freeze.ts";
import { Sys } from "./numbers.ts";

/** Where things are in the pages that Tesela maps into a process at home, as offsets from their base. */
export const DeputyMap = {
  exchange: 0x1000n,
  frame: 0x2000n,
  scratch: 0x6000n,
  buffer: 0x8000n,
  size: 0x110000n,
} as const;
export const SCRATCH_BYTES = 0x2000;
/** One forwarded call's data: a 1 MiB chunk and room for headers beside it. */
export const BUFFER_BYTES = Number(DeputyMap.size - DeputyMap.buffer);
/** Below every address that programs are linked at, above mmap_min_addr. */
const FIRST_BASE = 0x20000n;
const LAST_BASE = 0x7000_0000n;

/** The stub's socket is kept up here, away from the descriptors that programs count on. */
const TOP_FD = 1023;
const PROT_RWX = 7;
const PROT_RX = 5;
const MAP_PRIVATE_ANON_NOREPLACE = 0x100022;
const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 1 | 0x80000;
const F_DUPFD_CLOEXEC = 1030;
const SIGSTOP = 19;
const SIG_SETMASK = 2;
/** Offset in the scratch pages. */
const MASK_AT = 0x1000n;

/** Children that it forks for its guest are traced from their first instruction; the program that it becomes is met at its start. */
const DEPUTY_OPTIONS =
  ptrace.Option.TRACESYSGOOD | ptrace.Option.TRACEFORK | ptrace.Option.TRACEVFORK | ptrace.Option.TRACECLONE | ptrace.Option.TRACEEXEC;

/** Who waits for a call's result; the call fails when the process ends before it has one. */
interface Waiter {
  readonly done: (result: bigint) => void;
  readonly fail: (reason: Error) => void;
}
const UNHEARD: Waiter = { done: () => {}, fail: () => {} };

/** What a thread stopped at home was, before anything was done to it. */
export interface FrozenThread extends FrameState {
  readonly tid: number;
  /** A call that only home's kernel can finish; `regs` stand behind it. */
  readonly restart: { nr: number } | null;
  /** A SIGSTOP has come since. */
  stopRequested: boolean;
}

/**
 * The original task as a servant: its thread runs the stub's loop and makes the calls that it is sent. Every method
 * must be called while the thread is in the loop; ptrace is needed for setting up and for signals only.
 */
export class Deputy {
  readonly pid: number;
  readonly base: bigint;
  /** The stub's descriptor in the program's table. */
  readonly fd: number;
  private readonly socket: Socket;
  private readonly waiting: Waiter[] = [];
  private readonly request = Buffer.alloc(REQUEST_BYTES);
  private pending: Buffer | null = null;
  private closedReason: Error | null = null;

  private constructor(pid: number, base: bigint, fd: number, socket: Socket) {
    this.pid = pid;
    this.base = base;
    this.fd = fd;
    this.socket = socket;
    socket.on("data", (data) => this.results(data));
    socket.on("error", (e) => this.fail(new TeselaError("E_GONE", `process ${pid} ended`, {}, { cause: e })));
    socket.on("close", () => this.fail(new TeselaError("E_GONE", `process ${pid} ended`)));
  }

  get buffer(): bigint {
    return this.base + DeputyMap.buffer;
  }
  get scratch(): bigint {
    return this.base + DeputyMap.scratch;
  }
  /** Our own pages, which are not part of the process's image. */
  get extent(): { start: bigint; end: bigint } {
    return { start: this.base, end: this.base + DeputyMap.size };
  }
  /** True while a call has been sent and not been answered. */
  get busy(): boolean {
    return this.waiting.length > 0;
  }

  /**
   * Turns a stopped thread into a deputy. The thread's signals must be blocked by now. When the engine dies from here
   * on, the thread resumes `frozen` by itself.
   */
  static enter(tracees: Tracees, frozen: FrozenThread, log: Log): Deputy {
    const { tid } = frozen;
    const at = findSyscall(tid);
    const base = freeBase(tid);
    const call = (nr: number, ...args: (bigint | number)[]): bigint => injectAt(tracees, frozen, at, frozen.regs, nr, args);
    const mapped = call(Sys.mmap, base, DeputyMap.size, PROT_RWX, MAP_PRIVATE_ANON_NOREPLACE, -1, 0);
    if (mapped !== base) throw new TeselaError("E_NOMEM", `process ${tid}: no room for the deputy's pages at home (${mapped})`);
    const inside: number[] = [];
    let engineEnd = -1;
    try {
      const pairAt = base + DeputyMap.scratch;
      mustCall("socketpair", call(Sys.socketpair, AF_UNIX, SOCK_STREAM_CLOEXEC, 0, pairAt));
      const pair = Buffer.alloc(8);
      memory.readUpTo(tid, pairAt, pair);
      const ours = pair.readInt32LE(0);
      const theirs = pair.readInt32LE(4);
      inside.push(ours, theirs);
      const fd = topDescriptor(tid, theirs, call);
      if (fd !== theirs) inside.push(fd);
      const frame = buildSigframe(base + DeputyMap.frame, { ...frozen, regs: repeatRegs(frozen) });
      assert(frame.bytes.length <= Number(DeputyMap.scratch - DeputyMap.frame), "the extended state fits its frame");
      poke(tid, base + DeputyMap.frame, frame.bytes);
      const exchange = Buffer.alloc(96);
      exchange.writeBigUInt64LE(frame.rsp, Exchange.frame);
      poke(tid, base + DeputyMap.exchange, exchange);
      poke(tid, base, stubCode());
      engineEnd = fetchDescriptor(tid, ours);
      const regs = frozen.regs.clone();
      regs.set(Reg.rip, base + BigInt(Stub.loop));
      // It needs no stack, but on an alternate one of the program's that could not be changed (sigaltstack(2), EPERM).
      regs.set(Reg.rsp, base + DeputyMap.scratch);
      regs.set(Reg.r13, BigInt(fd));
      regs.set(Reg.r15, base + DeputyMap.exchange);
      regs.set(Reg.origRax, NO_SYSCALL);
      ptrace.setRegs(tid, regs.bytes);
      ptrace.setOptions(tid, DEPUTY_OPTIONS);
      const deputy = new Deputy(tid, base, fd, new Socket({ fd: engineEnd, readable: true, writable: true }));
      deputy.post([{ nr: Sys.close, args: [ours] }, ...(fd === theirs ? [] : [{ nr: Sys.close, args: [theirs] }])], UNHEARD);
      deputy.post([{ nr: Sys.mprotect, args: [base, 0x1000, PROT_RX] }], UNHEARD);
      return deputy;
    } catch (e) {
      log.warn("setting up a deputy failed", { pid: tid, error: String(e) });
      if (engineEnd >= 0) libc.close(engineEnd);
      for (const fd of inside) call(Sys.close, fd);
      call(Sys.munmap, base, DeputyMap.size);
      throw e;
    }
  }

  /** The deputy of a child that this one has forked: the same pages and descriptor, and a socket of its own. */
  inherited(pid: number, engineEnd: number): Deputy {
    return new Deputy(pid, this.base, this.fd, new Socket({ fd: engineEnd, readable: true, writable: true }));
  }

  /** Makes one call; resolves with the raw result, -errno included. @throws TeselaError E_GONE when the process ends instead */
  call(nr: number, ...args: (bigint | number)[]): Promise<bigint> {
    return new Promise((resolve, reject) => {
      if (this.closedReason) reject(this.closedReason);
      else this.post([{ nr, args }], { done: resolve, fail: reject });
    });
  }

  /** Makes many calls in order with one wake-up; resolves with all results. */
  calls(list: readonly RawCall[]): Promise<bigint[]> {
    if (list.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      if (this.closedReason) {
        reject(this.closedReason);
        return;
      }
      const results: bigint[] = [];
      const done = (r: bigint): void => {
        results.push(r);
        if (results.length === list.length) resolve(results);
      };
      this.post(list, { done, fail: reject });
    });
  }

  async setMask(mask: bigint): Promise<void> {
    const word = Buffer.alloc(8);
    word.writeBigUInt64LE(mask);
    // Not in the buffer, which may hold the next call's data already, nor where signals are laid out meanwhile.
    const at = this.scratch + MASK_AT;
    this.poke(at, word);
    await this.call(Sys.rtSigprocmask, SIG_SETMASK, at, 0, 8);
  }

  /** The hot path: a request that is packed already. Nothing is done when the process ends in the middle of it. */
  invoke(request: Uint8Array, done: (result: bigint) => void): void {
    this.waiting.push({ done, fail: UNHEARD.fail });
    this.socket.write(request);
  }

  /** The same, for who waits. @throws TeselaError E_GONE when the process ends, or becomes another program, instead */
  callRaw(request: Uint8Array): Promise<bigint> {
    return new Promise((resolve, reject) => {
      if (this.closedReason) {
        reject(this.closedReason);
        return;
      }
      this.waiting.push({ done: resolve, fail: reject });
      this.socket.write(Buffer.from(request));
    });
  }

  peek(at: bigint, length: number): Buffer {
    const out = Buffer.alloc(length);
    const n = memory.readUpTo(this.pid, at, out);
    if (n !== length) throw new SysError(`reading home process ${this.pid}`, 14);
    return out;
  }

  poke(at: bigint, bytes: Uint8Array): void {
    poke(this.pid, at, bytes);
  }

  /** How the thread goes on by itself when the engine ends before the commit. */
  setFrame(state: FrameState): void {
    const frame = buildSigframe(this.base + DeputyMap.frame, state);
    assert(frame.bytes.length <= Number(DeputyMap.scratch - DeputyMap.frame), "the extended state fits its frame");
    this.poke(this.base + DeputyMap.frame, frame.bytes);
    const rsp = Buffer.alloc(8);
    rsp.writeBigUInt64LE(frame.rsp, 0);
    this.poke(this.base + DeputyMap.exchange + BigInt(Exchange.frame), rsp);
  }

  /** After this the end of the socket kills the process in place of resuming it. */
  setCommitted(committed: boolean): void {
    const word = Buffer.alloc(4);
    word.writeUInt32LE(committed ? 1 : 0);
    this.poke(this.base + DeputyMap.exchange + BigInt(Exchange.committed), word);
  }

  /** At a stop that has interrupted a call: its result, a restart code, is what it ends with. False when it is in no such call. */
  cutCall(): boolean {
    const regs = new Regs();
    ptrace.getRegs(this.pid, regs.bytes);
    if (regs.get(Reg.rip) !== this.base + BigInt(Stub.callReturn) || regs.syscallNumber < 0) return false;
    if (!isRestart(regs.result)) return false;
    regs.set(Reg.origRax, NO_SYSCALL);
    ptrace.setRegs(this.pid, regs.bytes);
    return true;
  }

  /**
   * Ends the service of a thread that is stopped in the loop: it goes on with these registers once it is let go.
   * @returns whether it is to stop for a SIGSTOP, which may have come just now
   */
  retire(tracees: Tracees, frozen: Pick<FrozenThread, "xstate"> & { sigmask: bigint }, regs: Regs, stopRequested: boolean): boolean {
    const thread = { tid: this.pid, stopRequested };
    ptrace.setXstate(this.pid, fitXstate(frozen.xstate, ptrace.getXstate(this.pid)));
    const at = findSyscall(this.pid);
    injectAt(tracees, thread, at, regs, Sys.close, [this.fd]);
    injectAt(tracees, thread, at, regs, Sys.munmap, [this.base, this.extent.end - this.extent.start]);
    ptrace.setRegs(this.pid, regs.bytes);
    ptrace.setSigmask(this.pid, frozen.sigmask);
    return thread.stopRequested;
  }

  /** Closes the engine's end. The thread must not be running the loop any more, or be meant to leave it. */
  close(): void {
    this.socket.destroy();
  }

  private post(list: readonly RawCall[], waiter: Waiter): void {
    const bytes = list.length === 1 ? this.request : Buffer.alloc(REQUEST_BYTES * list.length);
    list.forEach((call, i) => {
      packCall(call, bytes, i * REQUEST_BYTES);
      this.waiting.push(waiter);
    });
    // The socket may keep the buffer until it is writable: the shared one is copied.
    this.socket.write(list.length === 1 ? Buffer.from(bytes) : bytes);
  }

  private results(data: Buffer): void {
    let bytes = data;
    if (this.pending) {
      bytes = Buffer.concat([this.pending, data]);
      this.pending = null;
    }
    let at = 0;
    for (; at + RESULT_BYTES <= bytes.length; at += RESULT_BYTES) this.waiting.shift()?.done(bytes.readBigInt64LE(at));
    if (at < bytes.length) this.pending = bytes.subarray(at);
  }

  private fail(reason: Error): void {
    this.closedReason ??= reason;
    for (const { fail } of this.waiting.splice(0)) fail(this.closedReason);
  }
}

function poke(pid: number, at: bigint, bytes: Uint8Array): void {
  const n = memory.writeUpTo(pid, at, bytes);
  if (n !== bytes.length) throw new SysError(`writing home process ${pid}`, 14);
}

function mustCall(name: string, result: bigint): bigint {
  if (isErrno(result)) throw new SysError(`${name} in the process`, Number(-result));
  return result;
}

/**
 * Runs one call in a stopped thread at an address that holds a `syscall` instruction, and puts its registers back.
 * Should the engine die within these microseconds the program is lost; nothing else of a move has that window.
 */
export function injectAt(
  tracees: Tracees,
  thread: Pick<FrozenThread, "tid" | "stopRequested">,
  at: bigint,
  regs: Regs,
  nr: number,
  args: readonly (bigint | number)[],
): bigint {
  const { tid } = thread;
  const call = regs.clone();
  call.setCall(at, nr, args);
  ptrace.setRegs(tid, call.bytes);
  for (let stops = 0; stops < 2; ) {
    ptrace.contToSyscall(tid);
    const s = tracees.wait(tid);
    if (s.kind === "syscall") stops++;
    else if (s.kind === "signal" && s.signal === SIGSTOP) thread.stopRequested = true;
    else if (s.kind === "exited" || s.kind === "killed") throw new TeselaError("E_GONE", `process ${tid} ended`);
    else assert(s.kind === "event", `unexpected stop ${JSON.stringify(s)} while setting up process ${tid}`);
  }
  ptrace.getRegs(tid, call.bytes);
  const result = call.result;
  ptrace.setRegs(tid, regs.bytes);
  return result;
}

const SYSCALL = Buffer.from([0x0f, 0x05]);
/** The address of a `syscall` instruction in the process: the vdso has one, else any code. */
export function findSyscall(pid: number): bigint {
  const lines = proc.readMaps(pid).filter((l) => (l.prot & 4) !== 0 && l.name !== "[vsyscall]");
  lines.sort((a, b) => Number(b.name === "[vdso]") - Number(a.name === "[vdso]"));
  for (const line of lines) {
    const code = Buffer.alloc(Number(line.end - line.start));
    const n = memory.readUpTo(pid, line.start, code);
    const at = code.subarray(0, n).indexOf(SYSCALL);
    if (at >= 0) return line.start + BigInt(at);
  }
  throw new TeselaError("E_CANTMOVE", `process ${pid} has no syscall instruction`, { reasons: ["no_syscall"] });
}

/** The lowest gap that holds the deputy's pages. */
function freeBase(pid: number): bigint {
  let base = FIRST_BASE;
  for (const line of proc.readMaps(pid)) {
    if (base + DeputyMap.size <= line.start) break;
    if (line.end > base) base = line.end;
  }
  if (base > LAST_BASE)
    throw new TeselaError("E_CANTMOVE", `process ${pid} leaves no room for the deputy's pages`, { reasons: ["low_address"] });
  return base;
}

/** Moves the stub's end of the socket as high as the limit allows; keeps it where it is when nothing is free there. */
function topDescriptor(pid: number, fd: number, call: (nr: number, ...args: (bigint | number)[]) => bigint): number {
  const [soft = 0n] = proc.readLimits(pid).get("Max open files") ?? [];
  const top = soft > BigInt(TOP_FD) ? TOP_FD : Number(soft) - 1;
  for (let want = top; want > top - 8 && want > fd; want--) {
    const got = call(Sys.fcntl, fd, F_DUPFD_CLOEXEC, want);
    if (!isErrno(got)) return Number(got);
  }
  return fd;
}

/** A duplicate, in this process, of another process's descriptor (pidfd_getfd(2)). */
export function fetchDescriptor(pid: number, fd: number): number {
  const pidfd = libc.syscall("pidfd_open", Sys.pidfdOpen, pid);
  try {
    return libc.syscall("pidfd_getfd", Sys.pidfdGetfd, pidfd, fd);
  } finally {
    libc.close(pidfd);
  }
}
