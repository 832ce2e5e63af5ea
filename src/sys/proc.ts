import { closeSync, existsSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from "node:fs";

/** Readers of /proc/PID (proc(5)). All throw ENOENT or ESRCH when the process is gone. */

export interface MapsLine {
  readonly start: bigint;
  readonly end: bigint;
  /** PROT_* bits. */
  readonly prot: number;
  readonly shared: boolean;
  readonly offset: bigint;
  /** `major:minor` in hex, as printed. */
  readonly dev: string;
  readonly inode: bigint;
  /** Path, `[name]`, or empty; `\n` stays escaped as the kernel escapes it. */
  readonly name: string;
}

const MAPS = /^([0-9a-f]+)-([0-9a-f]+) (.)(.)(.)(.) ([0-9a-f]+) (\S+) (\d+)\s*(.*)$/;

export function parseMaps(text: string): MapsLine[] {
  const lines: MapsLine[] = [];
  for (const line of text.split("\n")) {
    const m = MAPS.exec(line);
    if (!m) continue;
    lines.push({
      start: BigInt(`0x${m[1]}`),
      end: BigInt(`0x${m[2]}`),
      prot: (m[3] === "r" ? 1 : 0) | (m[4] === "w" ? 2 : 0) | (m[5] === "x" ? 4 : 0),
      shared: m[6] === "s",
      offset: BigInt(`0x${m[7]}`),
      dev: m[8] as string,
      inode: BigInt(m[9] as string),
      name: m[10] as string,
    });
  }
  return lines;
}

/**
 * The flags of a process's areas by where they start: two letters each (proc_pid_smaps(5), VmFlags). The kernel looks at each page for
 * this, 18 ms for a GiB of small ones. Empty where it has no such file.
 */
export function readVmFlags(pid: number): Map<bigint, readonly string[]> {
  const text = readSmaps(pid);
  const flags = new Map<bigint, readonly string[]>();
  // The flags are the last line of an area, and no other begins with their name.
  for (let area = 0; ; ) {
    const at = text.indexOf(VM_FLAGS, area);
    if (at < 0) return flags;
    const end = text.indexOf("\n", at + 1);
    const line = text.slice(at + VM_FLAGS.length, end < 0 ? undefined : end);
    flags.set(BigInt(`0x${text.slice(area, text.indexOf("-", area))}`), line.trim().split(" "));
    if (end < 0) return flags;
    area = end + 1;
  }
}
const VM_FLAGS = "\nVmFlags:";

function readSmaps(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/smaps`, "latin1");
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT" && existsSync(`/proc/${pid}/maps`)) return "";
    throw e;
  }
}

export const readMaps = (pid: number): MapsLine[] => parseMaps(readFileSync(`/proc/${pid}/maps`, "utf8"));

/** /proc/PID/stat fields by their number in proc(5), from 3 on; the name is cut out first since it may hold anything. */
export class Stat {
  readonly comm: string;
  private readonly fields: readonly string[];

  constructor(text: string) {
    const open = text.indexOf("(");
    const close = text.lastIndexOf(")");
    this.comm = text.slice(open + 1, close);
    this.fields = text
      .slice(close + 2)
      .trimEnd()
      .split(" ");
  }
  field(n: number): bigint {
    return BigInt(this.fields[n - 3] ?? 0);
  }
  get state(): string {
    return this.fields[0] ?? "?";
  }
  get ppid(): number {
    return Number(this.field(4));
  }
  /** User plus system time, in clock ticks (USER_HZ, 100 a second on x86-64). */
  get cpuTicks(): number {
    return Number(this.field(14) + this.field(15));
  }
  /** Start time in ticks since boot: with the PID it names a process for good. */
  get startTime(): bigint {
    return this.field(22);
  }
  /** -20 to 19. */
  get nice(): number {
    return Number(this.field(19));
  }
  get threads(): number {
    return Number(this.field(20));
  }
  /** Resident pages. */
  get rssPages(): number {
    return Number(this.field(24));
  }
}
export const TICKS_PER_SECOND = 100;

/** @param pid of a process, or `PID/task/TID` of one of its threads */
export const readStat = (pid: number | string): Stat => new Stat(readFileSync(`/proc/${pid}/stat`, "latin1"));

/** One value of /proc/PID/status, without its name; undefined when the kernel has no such line. */
export function statusField(status: string, name: string): string | undefined {
  const at = status.startsWith(`${name}:`) ? 0 : status.indexOf(`\n${name}:`) + 1;
  if (at === 0 && !status.startsWith(`${name}:`)) return undefined;
  const end = status.indexOf("\n", at);
  return status.slice(at + name.length + 1, end < 0 ? undefined : end).trim();
}
export const readStatus = (pid: number | string): string => readFileSync(`/proc/${pid}/status`, "utf8");

/** The arguments, or `[comm]` for a process that has none. */
export function readCommand(pid: number): string {
  const raw = readFileSync(`/proc/${pid}/cmdline`);
  const text = raw.toString("utf8").replace(/\0+$/, "").replaceAll("\0", " ");
  return text === "" ? `[${readStat(pid).comm}]` : text;
}

export function listThreads(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).map(Number);
}

/** Descriptors with what they are open on; one that closes meanwhile is left out. */
export function listFds(pid: number): { fd: number; target: string }[] {
  const out: { fd: number; target: string }[] = [];
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    try {
      out.push({ fd: Number(name), target: readlinkSync(`/proc/${pid}/fd/${name}`) });
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e;
    }
  }
  return out;
}

/** Bits of a /proc/PID/pagemap entry's upper word (Documentation/admin-guide/mm/pagemap.rst). */
const PM_FILE_HIGH = 1 << 29;
const PM_SWAP_HIGH = 1 << 30;
const PM_PRESENT_HIGH = 1 << 31;
const PAGEMAP_BATCH = 1 << 17;
const entries = new Uint32Array(2 * PAGEMAP_BATCH);
const entriesBytes = new Uint8Array(entries.buffer);

export interface PageRun {
  readonly addr: bigint;
  readonly pages: number;
}

/**
 * The runs of pages in [start, end) that hold data of the process's own: present or swapped, and not a clean page
 * of a private file mapping. With `files`, clean file pages count too.
 */
export function ownPages(pagemapFd: number, start: bigint, end: bigint, files: boolean): PageRun[] {
  const runs: PageRun[] = [];
  const total = Number((end - start) >> 12n);
  let from = -1;
  for (let base = 0; base < total; base += PAGEMAP_BATCH) {
    const n = Math.min(PAGEMAP_BATCH, total - base);
    const got = readSync(pagemapFd, entriesBytes, 0, n * 8, Number((start >> 12n) + BigInt(base)) * 8) / 8;
    for (let i = 0; i < got; i++) {
      const high = entries[2 * i + 1] as number;
      const own = (high & (PM_PRESENT_HIGH | PM_SWAP_HIGH)) !== 0 && (files || (high & PM_FILE_HIGH) === 0);
      if (own) {
        if (from < 0) from = base + i;
      } else if (from >= 0) {
        runs.push({ addr: start + (BigInt(from) << 12n), pages: base + i - from });
        from = -1;
      }
    }
    if (got < n) break;
  }
  if (from >= 0) runs.push({ addr: start + (BigInt(from) << 12n), pages: total - from });
  return runs;
}

/** Opens a file of /proc/PID for as long as the scope lasts. */
export function openProc(pid: number, file: string, flags: "r" | "r+" = "r"): Disposable & { fd: number } {
  const fd = openSync(`/proc/${pid}/${file}`, flags);
  return {
    fd,
    [Symbol.dispose]() {
      closeSync(fd);
    },
  };
}

const FLAGS_FIELD = 9;
/** Set as soon as a task is on its way out, some time before it is a zombie (include/linux/sched.h). */
const PF_EXITING = 0x4n;
/** The thread's own pending signals among the first 31. */
const PENDING_FIELD = 31;
const SIGKILL_BIT = 1n << 8n;
/** Whether there is such a process that has not ended: a zombie has, and one whose end has begun. */
export function exists(pid: number): boolean {
  try {
    return !isOver(readStat(pid));
  } catch {
    return false;
  }
}

/** Whether a thread has ended, or its end has begun. */
export function isOver(stat: Stat): boolean {
  if (stat.state === "Z" || stat.state === "X" || (stat.field(FLAGS_FIELD) & PF_EXITING) !== 0n) return true;
  // Killed, it has not got round to it yet; another thread may have.
  return (stat.field(PENDING_FIELD) & SIGKILL_BIT) !== 0n;
}

const LIMIT_LINE = /^(Max [a-z ]+?) {2,}(unlimited|\d+) +(unlimited|\d+)/gm;
export const NO_LIMIT = 0xffff_ffff_ffff_ffffn;
/**
 * Resource limits as [soft, hard], by the kernel's words for them ("Max open files"): readable where prlimit(2) would need
 * CAP_SYS_RESOURCE.
 */
export function readLimits(pid: number): Map<string, readonly [bigint, bigint]> {
  const value = (text: string | undefined): bigint => (text === "unlimited" ? NO_LIMIT : BigInt(text ?? 0));
  return new Map(
    [...readFileSync(`/proc/${pid}/limits`, "utf8").matchAll(LIMIT_LINE)].map((m) => [m[1] as string, [value(m[2]), value(m[3])]]),
  );
}
