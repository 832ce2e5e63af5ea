/** Transfers larger than the deputy's buffer: several calls at home that together are one call of the program. */
import { F, NR, O, RWF } from "../abi/mod.ts";
import { again, back, BAD_ADDRESS, done, EFAULT_RESULT, EMPTY, Forward } from "./forward.ts";
import { probeKind, probeMessage } from "./probe.ts";
import type { Segments } from "./segments.ts";
import type { DeputyArea, FinishResult, GuestMemory, OutRange, Plan } from "./types.ts";

export interface Bulk {
  /** The program's call; `vector`: it takes iovecs. */
  readonly nr: number;
  readonly vector: boolean;
  /** With the descriptor to use already; argument 3 is the position where the call has one. */
  readonly args: readonly bigint[];
  readonly segments: Segments;
  readonly area: DeputyArea;
}

/** iovec of a vectored chunk: at the start, the data one page behind it, so that direct I/O finds its alignment. */
const DATA_AT = 4096;
const NO_POSITION = 0xffff_ffff_ffff_ffffn;

const dataAt = (b: Bulk): number => (b.vector ? DATA_AT : 0);
/** Whole pages, for the sake of direct I/O. */
const chunkSize = (b: Bulk): number => (b.area.size - dataAt(b)) & ~4095;

/** Arguments of the call for `n` bytes that are `before` bytes into the transfer. */
function chunkArgs(b: Bulk, before: number, n: number): { args: bigint[]; iovec: Buffer } {
  const args = [...b.args];
  const data = b.area.base + BigInt(dataAt(b));
  const position = args[3] ?? 0n;
  if (position !== NO_POSITION) args[3] = position + BigInt(before);
  if (!b.vector) {
    args[1] = data;
    args[2] = BigInt(n);
    return { args, iovec: EMPTY };
  }
  const iovec = Buffer.alloc(16);
  iovec.writeBigUInt64LE(data, 0);
  iovec.writeBigUInt64LE(BigInt(n), 8);
  args[1] = b.area.base;
  args[2] = 1n;
  return { args, iovec };
}

export function readChain(b: Bulk): Plan {
  const fd = b.args[0] ?? 0n;
  return probeKind(fd, b.area, (kind) => {
    if (kind !== "message") return again(readChunk(b, 0, kind === "file"));
    return again(
      probeMessage(fd, 0, b.area, (length) => (length > chunkSize(b) ? again(back("big_message")) : again(readChunk(b, 0, false)))),
    );
  });
}

function readChunk(b: Bulk, before: number, goOn: boolean): Plan {
  const n = Math.min(chunkSize(b), b.segments.total - before);
  const { args, iovec } = chunkArgs(b, before, n);
  const outs: OutRange[] = [{ offset: dataAt(b), length: n, limit: "return" }];
  return new Forward(b.nr, args, iovec, outs, (result, out, mem) => {
    if (result <= 0n) return finishAt(before, result);
    const got = Number(result);
    if (!b.segments.slice(before, got).scatter(mem, out)) return finishAt(before, EFAULT_RESULT);
    const total = before + got;
    return goOn && got === n && total < b.segments.total ? again(readChunk(b, total, goOn)) : done(BigInt(total));
  }).waits(true);
}

/** What came before counts: an error or a signal shows only when nothing was moved yet. */
const finishAt = (before: number, result: bigint): FinishResult => done(before > 0 ? BigInt(before) : result);

export function writeChain(b: Bulk, mem: GuestMemory): Plan {
  // The kernel would find a buffer without a single readable byte before it writes anything.
  if (b.segments.slice(0, 1).gather(mem).length === 0) {
    return new Forward(b.nr, chunkArgs(b, 0, 1).args.with(1, BAD_ADDRESS));
  }
  const fd = b.args[0] ?? 0n;
  return probeKind(fd, b.area, (kind) => {
    if (kind === "message") return again(back("big_message"));
    const write = writeChunk(b, 0, mem);
    if (kind !== "file") return again(write);
    return again(unlessAppends(b, fd, write));
  });
}

/** Who appends to a file does so in one piece, whoever else does (write(2), O_APPEND). */
function unlessAppends({ nr, args }: Bulk, fd: bigint, write: Plan): Plan {
  const flags = nr === NR.pwritev2 ? Number(args[5] ?? 0n) : 0;
  if ((flags & RWF.NOAPPEND) !== 0) return write;
  return new Forward(NR.fcntl, [fd, BigInt(F.GETFL), 0n, 0n, 0n, 0n], EMPTY, [], (result) => {
    if (result < 0n) return done(result);
    return again(((flags & RWF.APPEND) | (Number(result) & O.APPEND)) !== 0 ? back("big_append") : write);
  });
}

function writeChunk(b: Bulk, before: number, mem: GuestMemory): Plan {
  const wanted = Math.min(chunkSize(b), b.segments.total - before);
  const bytes = b.segments.slice(before, wanted).gather(mem);
  if (bytes.length === 0) return { kind: "answer", result: before > 0 ? BigInt(before) : EFAULT_RESULT };
  const { args, iovec } = chunkArgs(b, before, bytes.length);
  const blob = b.vector ? Buffer.concat([iovec, Buffer.alloc(DATA_AT - iovec.length), bytes]) : bytes;
  return new Forward(b.nr, args, blob, [], (result, _, memNow) => {
    if (result <= 0n) return finishAt(before, result);
    const got = Number(result);
    const total = before + got;
    const cut = got < bytes.length || bytes.length < wanted || total === b.segments.total;
    return cut ? done(BigInt(total)) : again(writeChunk(b, total, memNow));
  }).waits(true);
}
