/**
 * Files of /proc/PID of a process that is away, as they would be at home (proc_pid_maps(5), proc_pid_stat(5), proc_pid_status(5),
 * proc_pid_statm(5)): what is about memory, signals and CPU time from the kernel it runs on, the rest from home's.
 */
import { isEngines } from "../image/mod.ts";
import { proc } from "../sys/mod.ts";
import { isVdsoPart } from "./own-vdso.ts";

/** What the node of a guest tells of it: texts of its files in /proc there. */
export interface GuestView {
  readonly maps: string;
  readonly stat: string;
  readonly statm: string;
  readonly status: string;
  /** Where its stack begins: it is mapped to its limit there. */
  readonly stackStart: bigint;
  /** Microseconds used away from home, on all nodes. */
  readonly user: number;
  readonly system: number;
}
/** The same files at home, where its deputy is. */
export interface HomeView {
  readonly maps: string;
  readonly stat: string;
  readonly status: string;
  /** Who reads it is the thread that it tells of. */
  readonly reads: boolean;
}

/** A line that home cannot tell: the process has to come home for it. */
export class Untold extends Error {
  override readonly name = "Untold";
}

const PAGE = 4096n;
const KIB = 1024n;
const LINE = /^([0-9a-f]+)-([0-9a-f]+) (....) ([0-9a-f]+) (\S+) (\d+) *(.*)$/gm;
/** Names stand in this column (fs/proc/task_mmu.c, seq_setwidth). */
const NAME_COLUMN = 73;

interface Line {
  readonly start: bigint;
  readonly end: bigint;
  readonly perms: string;
  readonly offset: string;
  readonly dev: string;
  readonly inode: string;
  readonly name: string;
}

const linesOf = (maps: string): Line[] =>
  [...maps.matchAll(LINE)].map(([, start, end, perms = "", offset = "", dev = "", inode = "", name = ""]) => ({
    start: BigInt(`0x${start}`),
    end: BigInt(`0x${end}`),
    perms,
    offset,
    dev,
    inode,
    name,
  }));

const hex = (address: bigint): string => address.toString(16).padStart(8, "0");

const isFile = (l: Line): boolean => l.inode !== "0";

/** A line cut where home has two areas side by side: built anew, they are one there. */
function cut(line: Line, home: readonly Line[]): Line[] {
  const starts = home.map((l) => l.start);
  const between = home.map((l) => l.end).filter((at) => line.start < at && at < line.end && starts.includes(at));
  const bounds = [line.start, ...between, line.end];
  return bounds.slice(1).map((end, i) => {
    const start = bounds[i] ?? line.start;
    const offset = isFile(line) ? BigInt(`0x${line.offset}`) + start - line.start : 0n;
    return { ...line, start, end, offset: hex(offset) };
  });
}

/** What there is of a line outside of the vdso, with which areas beside it may have merged where it stands for another kernel's. */
function besideVdso(line: Line, vdso: readonly Line[]): Line[] {
  const [start, end] = [vdso[0]?.start ?? 0n, vdso.at(-1)?.end ?? 0n];
  if (isVdsoPart(line)) return [];
  if (line.end <= start || end <= line.start) return [line];
  return [
    { ...line, end: start },
    { ...line, start: end },
  ].filter((l) => l.start < l.end);
}

/** Its areas with the names that they have at home. @throws Untold */
function areas(guest: GuestView, home: HomeView): Line[] {
  const here = linesOf(home.maps);
  const [files, others] = [here.filter(isFile), here.filter((l) => !isFile(l))];
  const vdso = here.filter(isVdsoPart);
  const own = linesOf(guest.maps)
    .filter((l) => !isEngines(l))
    .flatMap((l) => besideVdso(l, vdso))
    .flatMap((line) => {
      if (line.name === "[stack]") return [{ ...line, start: guest.stackStart }];
      if (!isFile(line)) return cut(line, others);
      return cut(line, files).map((piece) => {
        const file = files.find((l) => l.start <= piece.start && piece.end <= l.end);
        if (!file) throw new Untold(`home has no file at ${hex(piece.start)}`);
        const { dev, inode, name } = file;
        return { ...piece, perms: piece.perms.slice(0, 3) + file.perms.slice(3), dev, inode, name };
      });
    });
  return [...own, ...vdso].sort((a, b) => (a.start < b.start ? -1 : 1));
}

export function mapsText(guest: GuestView, home: HomeView): string {
  return areas(guest, home)
    .map(({ start, end, perms, offset, dev, inode, name }) => {
      const head = `${hex(start)}-${hex(end)} ${perms} ${offset} ${dev} ${inode} `;
      return `${name === "" ? head : head.padEnd(NAME_COLUMN) + name}\n`;
    })
    .join("");
}

interface Sizes {
  readonly total: bigint;
  readonly stack: bigint;
  /** Bytes of the guest's own pages, all of them and some, and of the stack's unused part, which are no part of the program. */
  readonly skeleton: bigint;
  readonly skeletonCode: bigint;
  readonly skeletonData: bigint;
  readonly unusedStack: bigint;
}

function sizes(guest: GuestView, home: HomeView): Sizes {
  const size = (l: Line): bigint => l.end - l.start;
  const sum = (list: readonly Line[]): bigint => list.reduce((n, l) => n + size(l), 0n);
  const there = linesOf(guest.maps);
  const here = areas(guest, home).filter((l) => l.name !== "[vsyscall]");
  const stack = sum(here.filter((l) => l.name === "[stack]"));
  const skeleton = there.filter(isEngines);
  return {
    total: sum(here),
    stack,
    skeleton: sum(skeleton),
    skeletonCode: sum(skeleton.filter((l) => l.perms.includes("x"))),
    skeletonData: sum(skeleton.filter((l) => l.perms.startsWith("rw"))),
    unusedStack: sum(there.filter((l) => l.name === "[stack]")) - stack,
  };
}

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** Fields of proc_pid_stat(5), by number, where the guest's kernel or both know better. */
export function statText(guest: GuestView, home: HomeView): string {
  const close = home.stat.lastIndexOf(")");
  const fields = home.stat
    .slice(close + 2)
    .trimEnd()
    .split(" ");
  const there = new proc.Stat(guest.stat);
  const set = (n: number, value: bigint | string): void => {
    fields[n - 3] = String(value);
  };
  const ticks = (us: number): bigint => BigInt(Math.floor((us * proc.TICKS_PER_SECOND) / 1_000_000));
  const field = (n: number): bigint => BigInt(fields[n - 3] ?? 0);
  set(3, state(guest, home));
  for (const faults of [10, 12]) set(faults, field(faults) + there.field(faults));
  set(14, field(14) + ticks(guest.user));
  set(15, field(15) + ticks(guest.system));
  set(23, sizes(guest, home).total);
  set(24, there.field(24));
  set(31, there.field(31) | field(31));
  for (const signals of [32, 33, 34]) set(signals, there.field(signals));
  set(35, "0");
  return `${home.stat.slice(0, close + 1)} ${fields.join(" ")}\n`;
}

export function statmText(guest: GuestView, home: HomeView): string {
  const [, resident = "0", shared = "0", text = "0", , data = "0"] = guest.statm.trim().split(" ");
  const { total, unusedStack, skeletonData } = sizes(guest, home);
  return `${total / PAGE} ${resident} ${shared} ${text} 0 ${BigInt(data) - (unusedStack + skeletonData) / PAGE} 0\n`;
}

const STATES: Readonly<Record<string, string>> = { R: "running", S: "sleeping", D: "disk sleep", T: "stopped", Z: "zombie" };

/** A thread that is stopped there is in a call that home makes for it. */
function state(guest: GuestView, home: HomeView): string {
  if (home.reads) return "R";
  const there = new proc.Stat(guest.stat).state;
  return there === "t" ? new proc.Stat(home.stat).state : there;
}

/** What waits for a thread may wait in either kernel. */
const WAITING = /^(Sig|Shd)Pnd$/;
const either = (a: string, b: string): string => (BigInt(`0x${a}`) | BigInt(`0x${b}`)).toString(16).padStart(16, "0");

const FROM_GUEST = /^(Vm\w+|Rss\w+|HugetlbPages|SigPnd|ShdPnd|SigBlk|SigIgn|SigCgt)$/;
const SWITCHES = /^(non)?voluntary_ctxt_switches$/;

export function statusText(guest: GuestView, home: HomeView): string {
  const { total, stack, unusedStack, skeleton, skeletonCode, skeletonData } = sizes(guest, home);
  const own = new Map([...guest.status.matchAll(/^(\w+):\t(.*)$/gm)].map(([, key = "", value = ""]) => [key, value]));
  const kib = (key: string): bigint => BigInt(Number.parseInt(own.get(key) ?? "0", 10)) * KIB;
  const extra = unusedStack + skeleton;
  const memory: Readonly<Record<string, bigint>> = {
    VmSize: total,
    VmPeak: kib("VmPeak") - extra < total ? total : kib("VmPeak") - extra,
    VmData: kib("VmData") - skeletonData,
    VmStk: stack,
    VmLib: kib("VmLib") - least(skeletonCode, kib("VmLib")),
  };
  return home.status.replaceAll(/^(\w+):\t(.*)$/gm, (line: string, key: string, value: string) => {
    if (key === "State") return `State:\t${state(guest, home)} (${STATES[state(guest, home)] ?? "sleeping"})`;
    if (WAITING.test(key)) return `${key}:\t${either(value, own.get(key) ?? "0")}`;
    if (key === "TracerPid") return "TracerPid:\t0";
    const bytes = memory[key];
    if (bytes !== undefined) return `${key}:\t${String(bytes / KIB).padStart(8)} kB`;
    if (SWITCHES.test(key)) return `${key}:\t${Number(value) + Number(own.get(key) ?? 0)}`;
    return FROM_GUEST.test(key) && own.has(key) ? `${key}:\t${own.get(key)}` : line;
  });
}
