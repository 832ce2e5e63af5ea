import { readFileSync, readlinkSync } from "node:fs";
import { isOwnView, isOwnViewFile, type OwnEntry, servedEntry } from "../forward/mod.ts";
import { isErrno, proc } from "../sys/mod.ts";
import type { Data } from "../wire/mod.ts";
import type { Deputy } from "./deputy.ts";
import type { CallFrame } from "./hot-frames.ts";
import { Sys } from "./numbers.ts";
import { type GuestView, mapsText, statmText, statText, statusText } from "./own-view-text.ts";

/** open(2), openat(2), openat2(2). */
export const OPENING: ReadonlySet<number> = new Set([2, 257, 437]);
const READ = 0;
const PREAD = 17;
/** Calls that take what is in a file from it, and which argument the file is: readv, preadv, preadv2, sendfile, splice, copy_file_range. */
const TAKING: ReadonlyMap<number, number> = new Map([
  [READ, 0],
  [PREAD, 0],
  [19, 0],
  [295, 0],
  [327, 0],
  [40, 1],
  [275, 0],
  [326, 0],
]);
const SEEK_SET = 0;
const SEEK_CUR = 1;

/** What the engine answers to a call in the kernel's place; null: the process has to come home for it. */
export type OwnAnswer = { readonly result: bigint; readonly bytes: Uint8Array } | null;

/**
 * Files of /proc that show the process itself, opened while it is away. The descriptor is a real one of home's kernel, and as good as
 * any when the process is home again; until then what is read of it is put together here.
 */
export class OwnViewFiles {
  private readonly pid: number;
  /** Asks the node it runs on, of a thread or of the process. @throws what goes wrong on the way */
  private readonly view: View;
  /** Whether one was ever opened: nearly all programs open none, and are not looked at. */
  private opened = false;
  /** What a file was when it was read from its start, by descriptor: readers take it in pieces. */
  private readonly texts = new Map<bigint, { readonly path: string; readonly bytes: Buffer }>();

  constructor(pid: number, view: View) {
    this.pid = pid;
    this.view = view;
  }

  /** Whether an open led, by a link or a relative path, to a file that is true only of a process that is here. */
  refuses(nr: number, fd: bigint): boolean {
    if (!OPENING.has(nr)) return false;
    const path = this.pathOf(fd);
    // Closed by a signal handler meanwhile: nobody reads it.
    if (path === null || !isOwnView(Buffer.from(path), { ...this.ids, reservedFds: [] })) return false;
    const served = servedEntry(path, this.ids) !== null;
    this.opened ||= served;
    return !served && isOwnViewFile(path, this.pid);
  }

  /** The file that a call would read which the kernel here would not tell rightly. */
  readBy(nr: number, { request, outs }: CallFrame): string | null {
    const index = this.opened ? TAKING.get(nr) : undefined;
    // Nothing, or to a bad address: the kernel knows what to say.
    if (index === undefined || (outs.length === 0 && (nr === READ || nr === PREAD))) return null;
    const path = this.pathOf(BigInt.asUintN(32, argument(request, index)));
    return path !== null && isOwnViewFile(path, this.pid) ? path : null;
  }

  /** Reads of it. The position is the kernel's, as it is shared by copies of the descriptor. */
  async read(deputy: Deputy, nr: number, { request, outs }: CallFrame, path: string): Promise<OwnAnswer> {
    const entry = servedEntry(path, this.ids);
    if (entry === null || (nr !== READ && nr !== PREAD)) return null;
    const fd = BigInt.asUintN(32, argument(request, 0));
    const at = nr === PREAD ? BigInt.asIntN(64, argument(request, 3)) : await deputy.call(Sys.lseek, fd, 0, SEEK_CUR);
    if (at < 0n || isErrno(at)) return null;
    let text = this.texts.get(fd);
    if (at === 0n || text?.path !== path) {
      text = { path, bytes: await this.text(entry, deputy.tid) };
      this.texts.set(fd, text);
    }
    const start = Number(at);
    const bytes = text.bytes.subarray(start, start + (outs[0]?.length ?? 0));
    if (nr === READ && isErrno(await deputy.call(Sys.lseek, fd, at + BigInt(bytes.length), SEEK_SET))) return null;
    return { result: BigInt(bytes.length), bytes };
  }

  /**
   * What the kernel keeps of such a file between two reads was made of the deputy. A read elsewhere, which does not move the file's
   * position, makes it begin anew when the process reads on (fs/seq_file.c): it is what it was by then.
   */
  async forget(deputy: Deputy): Promise<void> {
    if (!this.opened) return;
    for (const { fd, target } of proc.listFds(this.pid)) {
      if (!isOwnViewFile(target, this.pid)) continue;
      const at = await deputy.call(Sys.lseek, fd, 0, SEEK_CUR);
      await deputy.call(Sys.pread64, fd, deputy.buffer, at === 1n ? 2 : 1, 0);
    }
  }

  /** @param reader the thread that reads it, which runs, as it sees itself */
  private async text({ entry, tid }: OwnEntry, reader: number): Promise<Buffer> {
    const raw = entry === "cmdline" || entry === "environ";
    const there = (await this.view(tid, raw)) as Record<string, Data | undefined>;
    if (raw) return Buffer.from(there[entry] as Uint8Array);
    const guest = guestView(there);
    const { pid } = this;
    const here = (file: string): string => readFileSync(`/proc/${pid}/${tid === null ? "" : `task/${tid}/`}${file}`, "latin1");
    const home = { maps: here("maps"), stat: here("stat"), status: here("status"), reads: (tid ?? pid) === reader };
    const make = { maps: mapsText, stat: statText, statm: statmText, status: statusText }[entry];
    if (!make) throw new RangeError(`nobody can tell ${entry}`);
    return Buffer.from(make(guest, home), "latin1");
  }

  private get ids(): { pid: number; tid: number } {
    return { pid: this.pid, tid: this.pid };
  }

  private pathOf(fd: bigint): string | null {
    try {
      const path = readlinkSync(`/proc/${this.pid}/fd/${fd}`);
      return path.startsWith("/proc/") ? path : null;
    } catch {
      return null;
    }
  }
}

type View = (tid: number | null, strings: boolean) => Promise<Data>;

const argument = (request: Uint8Array, index: number): bigint =>
  Buffer.from(request.buffer, request.byteOffset, request.byteLength).readBigUInt64LE(8 + 8 * index);

const latin1 = (v: Data | undefined): string => Buffer.from(v as Uint8Array).toString("latin1");

function guestView(v: Record<string, Data | undefined>): GuestView {
  return {
    maps: latin1(v.maps),
    stat: latin1(v.stat),
    statm: latin1(v.statm),
    status: latin1(v.status),
    stackStart: BigInt(v.stackStart as bigint | number),
    user: Number(v.user),
    system: Number(v.system),
  };
}
