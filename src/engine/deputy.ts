import { assert, type Log, TeselaError } from "../base/mod.ts";
import { Exchange, fitXstate, type FrameState, packCall, type RawCall, REQUEST_BYTES, RESULT_BYTES, Stub } from "../image/mod.ts";
import { libc, memory, NO_SYSCALL, proc, ptrace, Reg, Regs, isErrno, SysError, type Tracees } from "../sys/mod.ts";
import { ALL_SIGNALS, repeatRegs } from "./freeze.ts";
import { isRestart } from "./restarts.ts";
import { Sys } from "./numbers.ts";
import {
  AF_UNIX,
  DeputyMap,
  descriptors,
  fetchDescriptor,
  gap,
  furnish,
  MAP_PRIVATE_ANON_NOREPLACE,
  poke,
  PROT_RWX,
  PROT_RX,
  Seat,
  setFrame,
  setToLoop,
  SOCK_STREAM_CLOEXEC,
  toTop,
  wordAt,
} from "./seat.ts";

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

/** What a thread gets back of itself besides its registers. */
type Restored = Pick<FrozenThread, "xstate" | "sigmask">;

/**
 * The original task as a servant: its thread runs the stub's loop and makes the calls that it is sent. Every method
 * must be called while the thread is in the loop; ptrace is needed for setting up and for signals only.
 */
export class Deputy {
  readonly pid: number;
  readonly tid: number;
  readonly seat: Seat;
  /** Where it says whether the process counts as away: one word for all its threads. */
  readonly word: bigint;
  private readonly waiting: Waiter[] = [];
  private readonly request = Buffer.alloc(REQUEST_BYTES);
  private pending: Buffer | null = null;
  private closedReason: Error | null = null;

  private readonly onData = (data: Buffer): void => this.results(data);
  private readonly onError = (e: Error): void => this.fail(new TeselaError("E_GONE", `process ${this.pid} ended`, {}, { cause: e }));
  private readonly onClose = (): void => this.fail(new TeselaError("E_GONE", `process ${this.pid} ended`));

  private constructor(pid: number, tid: number, seat: Seat, word: bigint) {
    this.pid = pid;
    this.tid = tid;
    this.seat = seat;
    this.word = word;
    seat.socket.on("data", this.onData);
    seat.socket.on("error", this.onError);
    seat.socket.on("close", this.onClose);
  }

  get buffer(): bigint {
    return this.seat.base + DeputyMap.buffer;
  }
  get scratch(): bigint {
    return this.seat.base + DeputyMap.scratch;
  }

  /**
   * Turns the first thread of a process, which is stopped, into a deputy. When the engine dies from here on, the thread resumes
   * `frozen` by itself.
   */
  static enter(tracees: Tracees, frozen: FrozenThread, log: Log): Deputy {
    const { tid } = frozen;
    ptrace.setSigmask(tid, ALL_SIGNALS);
    const lines = proc.readMaps(tid);
    const at = findSyscall(tid, lines);
    const base = gap(tid, DeputyMap.size, lines);
    const call = (nr: number, ...args: (bigint | number)[]): bigint => injectAt(tracees, frozen, at, frozen.regs, nr, args);
    const mapped = call(Sys.mmap, base, DeputyMap.size, PROT_RWX, MAP_PRIVATE_ANON_NOREPLACE, -1, 0);
    if (mapped !== base) throw new TeselaError("E_NOMEM", `process ${tid}: no room for the deputy's pages at home (${mapped})`);
    const inside: number[] = [];
    let engineEnd = -1;
    let seat: Seat | null = null;
    try {
      const pairAt = base + DeputyMap.scratch;
      mustCall("socketpair", call(Sys.socketpair, AF_UNIX, SOCK_STREAM_CLOEXEC, 0, pairAt));
      const pair = Buffer.alloc(8);
      memory.readUpTo(tid, pairAt, pair);
      const [ours, theirs] = descriptors(pair);
      inside.push(ours, theirs);
      const fd = toTop(tid, theirs, call);
      if (fd !== theirs) inside.push(fd);
      furnish(tid, base, wordAt(base));
      engineEnd = fetchDescriptor(tid, ours);
      seat = new Seat(base, fd, engineEnd);
      const deputy = Deputy.sit(tid, frozen, seat, seat.word);
      deputy.tell([
        ...[ours, ...(fd === theirs ? [] : [theirs])].map((spare) => ({ nr: Sys.close, args: [spare] })),
        { nr: Sys.mprotect, args: [base, 0x1000, PROT_RX] },
      ]);
      return deputy;
    } catch (e) {
      log.warn("setting up a deputy failed", { pid: tid, error: String(e) });
      if (seat) seat.socket.destroy();
      else if (engineEnd >= 0) libc.close(engineEnd);
      for (const fd of inside) call(Sys.close, fd);
      call(Sys.munmap, base, DeputyMap.size);
      throw e;
    }
  }

  /** Makes a stopped thread a deputy at a seat that is there for it; it may be let go then. */
  static sit(pid: number, frozen: FrozenThread, seat: Seat, word: bigint): Deputy {
    const { tid } = frozen;
    setFrame(pid, seat.base, { ...frozen, regs: repeatRegs(frozen) });
    ptrace.setSigmask(tid, ALL_SIGNALS);
    ptrace.setOptions(tid, DEPUTY_OPTIONS);
    setToLoop(tid, seat.base, seat.fd, frozen.regs);
    return new Deputy(pid, tid, seat, word);
  }

  /** The deputy of a child that this one has forked: the same pages and descriptor, and a socket of its own. */
  inherited(pid: number, engineEnd: number): Deputy {
    const seat = new Seat(this.seat.base, this.seat.fd, engineEnd);
    const word = Buffer.alloc(8);
    word.writeBigUInt64LE(seat.word);
    poke(pid, seat.base + DeputyMap.exchange + BigInt(Exchange.committed), word);
    const deputy = new Deputy(pid, pid, seat, seat.word);
    deputy.setCommitted(true);
    return deputy;
  }

  /** The deputy of a thread that has begun just now, with nothing to go back to. */
  beside(tid: number, seat: Seat): Deputy {
    return new Deputy(this.pid, tid, seat, this.word);
  }

  /**
   * Its thread has ended in a call. @returns its seat, for another; null when that cannot be used again, since something was
   * sent there that nobody will read
   */
  leaveSeat(): Seat | null {
    const { socket } = this.seat;
    const clean = this.waiting.length === 1 && this.pending === null && !socket.destroyed;
    socket.off("data", this.onData).off("error", this.onError).off("close", this.onClose);
    this.fail(new TeselaError("E_GONE", `thread ${this.tid} ended`));
    if (clean) return this.seat;
    socket.destroy();
    return null;
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

  /** Makes calls whose results do not matter. */
  tell(list: readonly RawCall[]): void {
    if (list.length > 0 && !this.closedReason) this.post(list, UNHEARD);
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
    this.seat.socket.write(request);
  }

  /** The same, for who waits. @throws TeselaError E_GONE when the process ends, or becomes another program, instead */
  callRaw(request: Uint8Array): Promise<bigint> {
    return new Promise((resolve, reject) => {
      if (this.closedReason) {
        reject(this.closedReason);
        return;
      }
      this.waiting.push({ done: resolve, fail: reject });
      this.seat.socket.write(Buffer.from(request));
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
    setFrame(this.pid, this.seat.base, state);
  }

  /** After this the end of the socket kills the process in place of resuming it, whichever of its threads sees that. */
  setCommitted(committed: boolean): void {
    const word = Buffer.alloc(4);
    word.writeUInt32LE(committed ? 1 : 0);
    this.poke(this.word, word);
  }

  /** At a stop that has interrupted a call: its result, a restart code, is what it ends with. False when it is in no such call. */
  cutCall(): boolean {
    const regs = new Regs();
    ptrace.getRegs(this.tid, regs.bytes);
    if (regs.get(Reg.rip) !== this.seat.base + BigInt(Stub.callReturn) || regs.syscallNumber < 0) return false;
    if (!isRestart(regs.result)) return false;
    regs.set(Reg.origRax, NO_SYSCALL);
    ptrace.setRegs(this.tid, regs.bytes);
    return true;
  }

  /** Ends the service of a thread that is stopped in the loop: it goes on with these registers once it is let go. */
  restore(frozen: Restored, regs: Regs): void {
    ptrace.setXstate(this.tid, fitXstate(frozen.xstate, ptrace.getXstate(this.tid)));
    ptrace.setRegs(this.tid, regs.bytes);
    ptrace.setSigmask(this.tid, frozen.sigmask);
  }

  /**
   * The same of the last one, which takes its own seat away.
   * @returns whether it is to stop for a SIGSTOP, which may have come just now
   */
  retire(tracees: Tracees, frozen: Restored, regs: Regs, stopRequested: boolean): boolean {
    const thread = { tid: this.tid, stopRequested };
    const at = findSyscall(this.pid);
    for (const { nr, args } of this.seat.remains()) injectAt(tracees, thread, at, regs, nr, args);
    this.restore(frozen, regs);
    return thread.stopRequested;
  }

  /** Closes the engine's end. The thread must not be running the loop any more, or be meant to leave it. */
  close(): void {
    this.seat.socket.destroy();
  }

  private post(list: readonly RawCall[], waiter: Waiter): void {
    const bytes = list.length === 1 ? this.request : Buffer.alloc(REQUEST_BYTES * list.length);
    list.forEach((call, i) => {
      packCall(call, bytes, i * REQUEST_BYTES);
      this.waiting.push(waiter);
    });
    // The socket may keep the buffer until it is writable: the shared one is copied.
    this.seat.socket.write(list.length === 1 ? Buffer.from(bytes) : bytes);
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
export function findSyscall(pid: number, maps = proc.readMaps(pid)): bigint {
  const lines = maps.filter((l) => (l.prot & 4) !== 0 && l.name !== "[vsyscall]");
  lines.sort((a, b) => Number(b.name === "[vdso]") - Number(a.name === "[vdso]"));
  for (const line of lines) {
    const code = Buffer.alloc(Number(line.end - line.start));
    const n = memory.readUpTo(pid, line.start, code);
    const at = code.subarray(0, n).indexOf(SYSCALL);
    if (at >= 0) return line.start + BigInt(at);
  }
  throw new TeselaError("E_CANTMOVE", `process ${pid} has no syscall instruction`, { reasons: ["no_syscall"] });
}
