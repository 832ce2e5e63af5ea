import { readdirSync } from "node:fs";
import { Socket } from "node:net";
import { assert, TeselaError } from "../base/mod.ts";
import { AHEAD_TABLE, buildSigframe, Exchange, type FrameState, type RawCall, Stub, stubCode } from "../image/mod.ts";
import { isErrno, libc, memory, NO_SYSCALL, proc, ptrace, Reg, type Regs, SysError } from "../sys/mod.ts";
import type { Deputy } from "./deputy.ts";
import { Sys } from "./numbers.ts";
import { DEPUTIES } from "./own-pages.ts";

/** Where things are in the pages that Tesela maps into a process at home for each of its threads, as offsets from their base. */
export const DeputyMap = {
  exchange: 0x1000n,
  frame: 0x2000n,
  scratch: 0x6000n,
  buffer: 0x8000n,
  /** What is asked ahead: the stub knows where that is, see {@link AHEAD_TABLE}. */
  ahead: 0x1000n + BigInt(AHEAD_TABLE),
  size: 0x110000n,
} as const;
/** One forwarded call's data: a 1 MiB chunk and room for headers beside it. */
export const BUFFER_BYTES = Number(DeputyMap.ahead - DeputyMap.buffer);
export const AHEAD_BYTES = Number(DeputyMap.size - DeputyMap.ahead);

/** The stub's sockets are kept up here, away from the descriptors that programs count on. */
const TOP_FD = 1023;
export const PROT_RWX = 7;
export const PROT_RX = 5;
const CODE_BYTES = 0x1000;
export const MAP_PRIVATE_ANON_NOREPLACE = 0x100022;
export const AF_UNIX = 1;
export const SOCK_STREAM_CLOEXEC = 1 | 0x80000;
const F_DUPFD_CLOEXEC = 1030;
/** Pairs of descriptors that fit the scratch pages. */
const BATCH = 256;
const PAIR_BYTES = 8n;

/**
 * Where one thread of a process serves as a deputy: pages with the stub's code and its data, and a socket. When the thread ends,
 * the next one that begins takes its place.
 */
export class Seat {
  readonly base: bigint;
  /** The stub's descriptor in the program's table. */
  readonly fd: number;
  /** The engine's end. */
  readonly socket: Socket;

  constructor(base: bigint, fd: number, engineEnd: number) {
    this.base = base;
    this.fd = fd;
    this.socket = new Socket({ fd: engineEnd, readable: true, writable: true });
    // Whoever serves here hears of its end; an empty seat has nothing to lose.
    this.socket.on("error", () => {});
  }

  /** Our own pages, which are not part of the process's image. */
  get extent(): { readonly start: bigint; readonly end: bigint } {
    return { start: this.base, end: this.base + DeputyMap.size };
  }
  /** The word that tells all threads of a process whether it counts as away, when it is this seat's. */
  get word(): bigint {
    return wordAt(this.base);
  }

  /** The calls by which a thread gives the place back that another has left. */
  remains(): RawCall[] {
    return [
      { nr: Sys.close, args: [this.fd] },
      { nr: Sys.munmap, args: [this.base, DeputyMap.size] },
    ];
  }
}

export const wordAt = (base: bigint): bigint => base + DeputyMap.exchange + BigInt(Exchange.word);

/** Writes the stub and its data into the pages at `base`. */
export function furnish(pid: number, base: bigint, word: bigint): void {
  const exchange = Buffer.alloc(Exchange.size);
  exchange.writeBigUInt64LE(word, Exchange.committed);
  poke(pid, base + DeputyMap.exchange, exchange);
  poke(pid, base, stubCode());
}

/** What the thread at `base` does when its socket ends before the commit. */
export function setFrame(pid: number, base: bigint, state: FrameState): void {
  const frame = buildSigframe(base + DeputyMap.frame, state);
  assert(frame.bytes.length <= Number(DeputyMap.scratch - DeputyMap.frame), "the extended state fits its frame");
  poke(pid, base + DeputyMap.frame, frame.bytes);
  const rsp = Buffer.alloc(8);
  rsp.writeBigUInt64LE(frame.rsp, 0);
  poke(pid, base + DeputyMap.exchange + BigInt(Exchange.frame), rsp);
}

/** Sets a stopped thread to run the stub's loop at a seat. */
export function setToLoop(tid: number, base: bigint, fd: number, from: Regs): void {
  const regs = from.clone();
  regs.set(Reg.rip, base + BigInt(Stub.loop));
  // It needs no stack, but on an alternate one of the program's that could not be changed (sigaltstack(2), EPERM).
  regs.set(Reg.rsp, base + DeputyMap.scratch);
  regs.set(Reg.r13, BigInt(fd));
  regs.set(Reg.r15, base + DeputyMap.exchange);
  regs.set(Reg.origRax, NO_SYSCALL);
  ptrace.setRegs(tid, regs.bytes);
}

/**
 * Makes places for more threads of a process, by the calls of a deputy that it has.
 * @throws TeselaError E_NOMEM: no room, or no descriptors left
 */
export async function makeSeats(deputy: Deputy, count: number): Promise<Seat[]> {
  const seats: Seat[] = [];
  for (let left = count; left > 0; left -= BATCH) seats.push(...(await makeBatch(deputy, Math.min(left, BATCH))));
  return seats;
}

async function makeBatch(deputy: Deputy, count: number): Promise<Seat[]> {
  const { pid, scratch } = deputy;
  const slots = Array.from({ length: count }, (_, i) => scratch + PAIR_BYTES * BigInt(i));
  const first = await mapPages(deputy, count);
  const made = await deputy.calls(slots.map((at) => ({ nr: Sys.socketpair, args: [AF_UNIX, SOCK_STREAM_CLOEXEC, 0, at] })));
  const pairs = slots.filter((_, i) => !isErrno(made[i] ?? -1n)).map((at) => descriptors(deputy.peek(at, Number(PAIR_BYTES))));
  const engineEnds: number[] = [];
  const inside = new Set(pairs.flat());
  try {
    if (pairs.length < count) throw new TeselaError("E_NOMEM", `process ${pid} has no descriptors left for its threads' deputies`);
    const wanted = highest(pid, count);
    const tops = await deputy.calls(pairs.map(([, theirs], i) => ({ nr: Sys.fcntl, args: [theirs, F_DUPFD_CLOEXEC, wanted[i] ?? 0] })));
    const own = pairs.map(([, theirs], i) => (isErrno(tops[i] ?? -1n) ? theirs : Number(tops[i])));
    for (const fd of own) inside.add(fd);
    for (const [ours] of pairs) engineEnds.push(fetchDescriptor(pid, ours));
    const spare = [...inside].filter((fd) => !own.includes(fd));
    for (let i = 0; i < count; i++) furnish(pid, first + DeputyMap.size * BigInt(i), deputy.word);
    deputy.tell([
      ...spare.map((fd) => ({ nr: Sys.close, args: [fd] })),
      ...own.map((_, i) => ({ nr: Sys.mprotect, args: [first + DeputyMap.size * BigInt(i), CODE_BYTES, PROT_RX] })),
    ]);
    return own.map((fd, i) => new Seat(first + DeputyMap.size * BigInt(i), fd, engineEnds[i] ?? -1));
  } catch (e) {
    for (const fd of engineEnds) libc.close(fd);
    deputy.tell([
      ...[...inside].map((fd) => ({ nr: Sys.close, args: [fd] })),
      { nr: Sys.munmap, args: [first, DeputyMap.size * BigInt(count)] },
    ]);
    throw e;
  }
}

async function mapPages(deputy: Deputy, count: number): Promise<bigint> {
  const size = DeputyMap.size * BigInt(count);
  const base = gap(deputy.pid, size);
  const mapped = await deputy.call(Sys.mmap, base, size, PROT_RWX, MAP_PRIVATE_ANON_NOREPLACE, -1, 0);
  if (mapped !== base) throw new TeselaError("E_NOMEM", `process ${deputy.pid} has no room for its threads' deputies (${mapped})`);
  return base;
}

/** The lowest place for pages of ours. @throws TeselaError E_CANTMOVE */
export function gap(pid: number, size: bigint, maps = proc.readMaps(pid)): bigint {
  let base: bigint = DEPUTIES.from;
  for (const line of maps) {
    if (line.end <= base) continue;
    if (base + size <= line.start) break;
    base = line.end;
  }
  if (base + size > DEPUTIES.to) {
    throw new TeselaError("E_CANTMOVE", `process ${pid} leaves no room for the deputy's pages`, { reasons: ["low_address"] });
  }
  return base;
}

export const descriptors = (pair: Buffer): [ours: number, theirs: number] => [pair.readInt32LE(0), pair.readInt32LE(4)];

/** The highest descriptor that the stub may have. */
function topDescriptor(pid: number): number {
  const [soft = 0n] = proc.readLimits(pid).get("Max open files") ?? [];
  return soft > BigInt(TOP_FD) ? TOP_FD : Number(soft) - 1;
}

/** Free descriptors, the highest first. */
function highest(pid: number, count: number): number[] {
  const used = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  const free: number[] = [];
  for (let fd = topDescriptor(pid); fd > 2 && free.length < count; fd--) if (!used.has(fd)) free.push(fd);
  return free;
}

/** Moves the stub's end of the socket as high as the limit allows; keeps it where it is when nothing is free there. */
export function toTop(pid: number, fd: number, call: (nr: number, ...args: (bigint | number)[]) => bigint): number {
  const top = topDescriptor(pid);
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

export function poke(pid: number, at: bigint, bytes: Uint8Array): void {
  const n = memory.writeUpTo(pid, at, bytes);
  if (n !== bytes.length) throw new SysError(`writing home process ${pid}`, 14);
}
