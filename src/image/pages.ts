import { readSync, writeSync } from "node:fs";
import { MiB, PAGE, TeselaError } from "../base/mod.ts";
import { memory, proc, SysError } from "../sys/mod.ts";
import { HugePages, hugeRanges, type Range } from "./huge.ts";
import type { Vma } from "./image.ts";

/** The contents of a process's memory, as they travel: chunks of runs of pages with their bytes one after the other. */
export interface PageChunk {
  readonly runs: readonly proc.PageRun[];
  readonly data: Uint8Array;
}

/** Whether a chunk holds a page of [start, end). */
export const touches = (chunk: PageChunk, start: bigint, end: bigint): boolean =>
  chunk.runs.some((r) => r.addr < end && r.addr + BigInt(r.pages * PAGE) > start);

/** Bytes of one chunk at most. */
export const CHUNK_BYTES = MiB;
const CHUNK_PAGES = CHUNK_BYTES / PAGE;
const RUN_BYTES = 16;
const PAGE_MASK = BigInt(PAGE - 1);

/**
 * Where pages come from. Stop-and-copy reads them from the frozen process; pre-copy and post-copy are other sources
 * of the same chunks.
 */
export interface PageSource {
  /** Pages that will come at most; zero pages among them are left out. */
  readonly pages: number;
  /** `room`: where the bytes of the next chunk go. */
  chunks(room: (bytes: number) => Buffer): Generator<PageChunk>;
}

interface OwnedRuns {
  readonly vma: Vma;
  readonly runs: readonly proc.PageRun[];
}

/** Every page of a frozen process that is its own. */
export class FrozenPages implements PageSource {
  readonly pages: number;
  private readonly pid: number;
  private readonly owned: readonly OwnedRuns[];

  constructor(pid: number, vmas: readonly Vma[]) {
    this.pid = pid;
    using pagemap = proc.openProc(pid, "pagemap");
    // What it shares with others is carried apart.
    this.owned = vmas
      .filter((vma) => vma.backing.kind !== "shared")
      .map((vma) => ({ vma, runs: proc.ownPages(pagemap.fd, vma.start, vma.end, false) }));
    this.pages = this.owned.reduce((sum, o) => sum + o.runs.reduce((n, r) => n + r.pages, 0), 0);
  }

  *chunks(room: (bytes: number) => Buffer): Generator<PageChunk> {
    using mem = proc.openProc(this.pid, "mem");
    let batch: proc.PageRun[] = [];
    let pages = 0;
    // A page of zeros is what an anonymous area holds anyway; in a file's area it differs from the file.
    let zerosMatter = false;
    const flush = (readable: boolean): PageChunk => {
      const data = room(pages * PAGE);
      if (readable) gather(this.pid, batch, data);
      else readForced(mem.fd, batch, data);
      const chunk = { runs: batch, data };
      batch = [];
      pages = 0;
      return zerosMatter ? chunk : dropZeros(chunk);
    };
    for (const { vma, runs } of this.owned) {
      const readable = (vma.prot & 1) !== 0;
      zerosMatter = vma.backing.kind === "file";
      for (const run of runs) {
        for (let done = 0; done < run.pages; ) {
          const take = Math.min(run.pages - done, CHUNK_PAGES - pages);
          batch.push({ addr: run.addr + BigInt(done * PAGE), pages: take });
          pages += take;
          done += take;
          if (pages === CHUNK_PAGES || batch.length === memory.MAX_IOV) yield flush(readable);
        }
      }
      if (pages > 0) yield flush(readable);
    }
  }

  /** All pages of these areas, whosever they are: where the receiver has lost a file that they show. */
  static *whole(pid: number, areas: readonly Range[], room: (bytes: number) => Buffer): Generator<PageChunk> {
    for (const area of areas) {
      for (let at = area.start; at < area.end; at += BigInt(CHUNK_BYTES)) {
        const left = area.end - at;
        const data = room(left < BigInt(CHUNK_BYTES) ? Number(left) : CHUNK_BYTES);
        // Behind the end of its file an area has no pages: those stay zero.
        const got = memory.readUpTo(pid, at, data) & ~(PAGE - 1);
        yield { runs: got > 0 ? [{ addr: at, pages: got / PAGE }] : [], data: data.subarray(0, got) };
      }
    }
  }

  /** Where huge pages are worth having at the other end. */
  hugeRanges(): Range[] {
    return this.owned.flatMap(({ vma, runs }) => (vma.backing.kind === "anon" && !vma.growsDown ? hugeRanges(runs) : []));
  }
}

const ranges = (runs: readonly proc.PageRun[]): memory.RemoteRange[] => runs.map((r) => ({ addr: r.addr, length: r.pages * PAGE }));

function gather(pid: number, runs: readonly proc.PageRun[], into: Uint8Array): void {
  const n = memory.gather(pid, ranges(runs), into);
  if (n !== into.length) throw new SysError(`reading memory of process ${pid}`, 14);
}

/** For areas without read permission, which /proc/PID/mem reads all the same (ptrace access). */
function readForced(fd: number, runs: readonly proc.PageRun[], into: Uint8Array): void {
  let at = 0;
  for (const run of runs) {
    const n = readSync(fd, into, at, run.pages * PAGE, Number(run.addr));
    if (n !== run.pages * PAGE) throw new SysError("reading /proc/PID/mem", 14);
    at += n;
  }
}

const ZERO = Buffer.alloc(PAGE);
function dropZeros(chunk: PageChunk): PageChunk {
  const { data } = chunk;
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
  const isZero = (page: number): boolean => words[(page * PAGE) / 4] === 0 && ZERO.equals(data.subarray(page * PAGE, (page + 1) * PAGE));
  let any = false;
  const total = data.length / PAGE;
  for (let i = 0; i < total && !any; i++) any = isZero(i);
  if (!any) return chunk;
  const runs: proc.PageRun[] = [];
  let out = 0;
  let base = 0;
  for (const run of chunk.runs) {
    let start = -1;
    for (let i = 0; i <= run.pages; i++) {
      if (i < run.pages && !isZero(base + i)) {
        if (start < 0) start = i;
        if (out !== base + i) data.copyWithin(out * PAGE, (base + i) * PAGE, (base + i + 1) * PAGE);
        out++;
      } else if (start >= 0) {
        runs.push({ addr: run.addr + BigInt(start * PAGE), pages: i - start });
        start = -1;
      }
    }
    base += run.pages;
  }
  return { runs, data: data.subarray(0, out * PAGE) };
}

/**
 * Writes pages into a process that is stopped under us. Areas that are not writable are written as a debugger writes them
 * (/proc/PID/mem, FOLL_FORCE).
 */
export class PageWriter implements Disposable {
  private readonly pid: number;
  private mem: (Disposable & { fd: number }) | null = null;
  private huge: HugePages | null = null;
  private readonly denied: readonly Range[];

  /** @param denied areas that are not writable: what is known to fail is not tried */
  constructor(pid: number, denied: readonly Range[] = []) {
    this.pid = pid;
    this.denied = denied;
  }

  /** These areas, which are empty yet, will be filled in ascending order. */
  expect(huge: readonly Range[]): void {
    this.huge = new HugePages(this.pid, huge);
  }

  /** @throws SysError EFAULT when a page is not mapped or there is no memory for it */
  write(chunk: PageChunk): void {
    if (chunk.runs.length === 0) return;
    if (this.huge) for (const run of chunk.runs) this.huge.before(run.addr, run.addr + BigInt(run.pages * PAGE));
    if (!this.denied.some(({ start, end }) => touches(chunk, start, end)) && this.scatter(chunk)) return;
    this.mem ??= proc.openProc(this.pid, "mem", "r+");
    let at = 0;
    for (const run of chunk.runs) {
      const end = at + run.pages * PAGE;
      const n = writeSync(this.mem.fd, chunk.data, at, end - at, Number(run.addr));
      if (n !== end - at) throw new SysError(`writing memory of process ${this.pid}`, 14);
      at = end;
    }
  }

  private scatter({ runs, data }: PageChunk): boolean {
    try {
      return memory.scatter(this.pid, ranges(runs), data) === data.length;
    } catch (e) {
      if (!(e instanceof SysError && e.code === "EFAULT")) throw e;
      return false;
    }
  }

  [Symbol.dispose](): void {
    this.mem?.[Symbol.dispose]();
    this.mem = null;
    this.huge?.[Symbol.dispose]();
    this.huge = null;
  }
}

/** Run table as it travels before the bytes: {u64 address, u64 pages} each. */
export function packRuns(runs: readonly proc.PageRun[]): Buffer {
  const out = Buffer.alloc(runs.length * RUN_BYTES);
  runs.forEach((r, i) => {
    out.writeBigUInt64LE(r.addr, i * RUN_BYTES);
    out.writeBigUInt64LE(BigInt(r.pages), i * RUN_BYTES + 8);
  });
  return out;
}

/** @throws TeselaError E_PROTOCOL when the table does not fit the bytes behind it */
export function unpackRuns(payload: Uint8Array, count: number): PageChunk {
  const view = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const table = count * RUN_BYTES;
  if (!(count >= 0 && count <= memory.MAX_IOV && table <= view.length))
    throw new TeselaError("E_PROTOCOL", "a run table that does not fit");
  const runs = Array.from({ length: count }, (_, i) => ({
    addr: view.readBigUInt64LE(i * RUN_BYTES),
    pages: Number(view.readBigUInt64LE(i * RUN_BYTES + 8)),
  }));
  const data = view.subarray(table);
  const pages = runs.reduce((sum, r) => sum + r.pages, 0);
  if (data.length !== pages * PAGE || runs.some((r) => (r.addr & PAGE_MASK) !== 0n))
    throw new TeselaError("E_PROTOCOL", "runs without their bytes");
  return { runs, data };
}
