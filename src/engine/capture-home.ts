import { readFileSync, readSync } from "node:fs";
import { assert, present, TeselaError, toTeselaError } from "../base/mod.ts";
import {
  adviceOf,
  type Area,
  type FileHashes,
  contentHash,
  type Image,
  type Mm,
  openMapped,
  readAreas,
  readVdso,
  type SharedObject,
  SIGACTION_BYTES,
  SIGNALS,
  type ThreadImage,
  type Vma,
} from "../image/mod.ts";
import { proc, type RawLimit } from "../sys/mod.ts";
import { readClocks } from "./clocks.ts";
import type { Deputy } from "./deputy.ts";
import { type Frozen, type FrozenProcess, threadsOf } from "./freeze.ts";
import { barriersOf, GET_REGISTRATIONS } from "./barriers.ts";
import type { HomeProcess } from "./home-process.ts";
import { isJobControl } from "./home-queue.ts";
import { Sys } from "./numbers.ts";
import { beforeWrite } from "./partial-writes.ts";
import { carried, ownVdso } from "./own-vdso.ts";
import { objectId } from "./sharers.ts";
import { type AwayCpu, NO_CPU } from "./tracks.ts";

/** A mapped file that a guest's node needs the content of, and a descriptor to read it from. */
export interface CarriedFile {
  readonly hash: string;
  readonly size: number;
  /** A new descriptor to read it from; whoever asks closes it. */
  readonly open: () => number;
}

/** How the address space of a process at home is carried: its areas, the files behind them, its vdso. */
export interface Layout {
  readonly vmas: Vma[];
  readonly vdso: Image["vdso"];
  readonly files: Map<string, CarriedFile>;
  /** What its shared areas show. */
  readonly objects: readonly SharedObject[];
}

/** Names shared memory by what the kernel of a machine calls it; null for what is not carried. */
export type Shows = (id: string) => SharedObject | null;
const NOTHING: Shows = () => null;

/** @throws TeselaError E_CANTMOVE naming every mapping that cannot leave home */
export function readLayout(
  pid: number,
  hashes: FileHashes,
  except: readonly { start: bigint; end: bigint }[] = [],
  shows: Shows = NOTHING,
): Layout {
  return layoutOf(pid, hashes, except, false, shows);
}

/**
 * The same of a process that runs, without advice: mappings that it takes away meanwhile are left out.
 * @throws TeselaError E_BUSY: whenever it is looked at it is about to be another program
 */
export function readChangingLayout(pid: number, hashes: FileHashes, shows: Shows = NOTHING): Layout {
  for (let tries = 1; ; tries++) {
    try {
      const before = readAuxv(pid);
      // Its first thread has ended: it has no memory that could be looked at.
      if (before === null) return layoutOf(pid, hashes, [], true, shows);
      const layout = layoutOf(pid, hashes, [], true, shows);
      // What was read is of the program that it still is, and all of that.
      const same = readAuxv(pid)?.equals(before) && findVdso(proc.readMaps(pid))?.end === layout.vdso?.end;
      if (same && before.some((b) => b !== 0)) return layout;
      throw becomesAnother(pid);
    } catch (e) {
      if (toTeselaError(e).code !== "E_BUSY" || tries === MAX_PROGRAMS) throw e;
    }
  }
}
/** It may call execve(2) while it is looked at, a few times on end when its program is started by others. */
const MAX_PROGRAMS = 8;

/** Written by execve(2) once all areas of a new program are there (fs/binfmt_elf.c, create_elf_tables); holds random addresses. */
function readAuxv(pid: number): Buffer | null {
  try {
    return readFileSync(`/proc/${pid}/auxv`);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ESRCH") return null;
    throw e;
  }
}

const findVdso = (lines: readonly proc.MapsLine[]): proc.MapsLine | undefined => lines.find((l) => l.name === "[vdso]");
const becomesAnother = (pid: number): TeselaError => new TeselaError("E_BUSY", `process ${pid} is becoming another program; try again`);

function layoutOf(
  pid: number,
  hashes: FileHashes,
  except: readonly { start: bigint; end: bigint }[],
  changing: boolean,
  shows: Shows,
): Layout {
  const areas = readAreas(pid, except);
  const refused = areas.filter((a) => a.kind === "refused" || (a.kind === "shared" && shows(objectId(a.line)) === null));
  if (refused.length > 0) {
    const reasons = [...new Set(refused.flatMap((a) => ("reason" in a ? [a.reason] : [])))];
    const where = refused.map((a) => a.line.name || a.line.start.toString(16)).join(", ");
    throw new TeselaError("E_CANTMOVE", `process ${pid} has mappings that cannot leave home: ${where}`, { reasons });
  }
  // One that runs may take other advice until it stands: then it is asked for.
  const flags = changing ? NO_FLAGS : proc.readVmFlags(pid);
  const files = new Map<string, CarriedFile>();
  const objects = new Map<string, SharedObject>();
  const vmas: Vma[] = [];
  for (const area of areas) {
    if (area.kind === "shared") {
      const object = shows(objectId(area.line));
      if (!object) continue;
      objects.set(object.name, { name: object.name, size: object.size });
      vmas.push({ ...sharedVma(area, object.name), advice: adviceOf(flags.get(area.line.start)) });
      continue;
    }
    if (area.kind !== "anon" && area.kind !== "file") continue;
    try {
      vmas.push({ ...toVma(pid, area, hashes, files), advice: adviceOf(flags.get(area.line.start)) });
    } catch (e) {
      if (!changing || (e as NodeJS.ErrnoException).code !== "ENOENT") throw e;
    }
  }
  return { vmas: joinStack(vmas, flags), vdso: vdsoOf(pid, areas, files), files, objects: [...objects.values()] };
}

/**
 * The stack in one piece. Where it was mapped anew below what it had, the kernel may keep two areas, as that of a process with children: they
 * share their pages with other processes (mm/vma.c, is_mergeable_anon_vma). Only the lower one grows.
 */
function joinStack(vmas: readonly Vma[], flags: VmFlags): Vma[] {
  const out: Vma[] = [];
  for (const vma of vmas) {
    let { start } = vma;
    for (let below = out.at(-1); vma.growsDown && below && isSameStack(below, { ...vma, start }, flags); below = out.at(-1)) {
      start = below.start;
      out.pop();
    }
    out.push({ ...vma, start });
  }
  return out;
}

function isSameStack(below: Vma, stack: Vma, flags: VmFlags): boolean {
  const grows = flags.size === 0 || flags.get(below.start)?.includes("gd");
  const isAnon = below.backing.kind === "anon" && stack.backing.kind === "anon";
  return isAnon && grows === true && below.end === stack.start && below.prot === stack.prot && below.advice === stack.advice;
}

type VmFlags = ReturnType<typeof proc.readVmFlags>;
const NO_FLAGS: VmFlags = new Map();

function sharedVma({ line, writable }: Area & { kind: "shared" }, object: string): Vma {
  const { start, end, prot, offset } = line;
  return { start, end, prot, growsDown: false, backing: { kind: "shared", object, offset, writable } };
}

function toVma(pid: number, area: Area & { kind: "anon" | "file" }, hashes: FileHashes, files: Map<string, CarriedFile>): Vma {
  const { line } = area;
  const common = { start: line.start, end: line.end, prot: line.prot };
  if (area.kind === "anon") return { ...common, growsDown: area.stack, backing: { kind: "anon" } };
  const content = hashes.hash(pid, area);
  if (content === null) {
    throw new TeselaError("E_CANTMOVE", `process ${pid} maps a file that is too big to carry: ${line.name}`, { reasons: ["big_mapping"] });
  }
  files.set(content.hash, { ...content, open: () => openMapped(pid, line) });
  return { ...common, growsDown: false, backing: { kind: "file", hash: content.hash, offset: line.offset }, shared: line.shared };
}

function vdsoOf(pid: number, areas: readonly Area[], files: Map<string, CarriedFile>): Image["vdso"] {
  const parts = areas.filter((a) => a.kind === "vdso").map((a) => a.line);
  const code = findVdso(parts);
  const first = parts[0];
  if (!code || !first) return null;
  const bytes = readVdso(pid, code);
  if (bytes === null) throw becomesAnother(pid);
  const own = ownVdso();
  // Hashed once: all processes here have the same.
  const hash = own?.bytes.equals(bytes) ? own.hash : contentHash(bytes);
  files.set(hash, carried(hash, bytes));
  return { start: first.start, end: code.end, hash, random: own?.random ?? null };
}

/** Offsets of the answers in the deputy's scratch pages. */
const At = { altStack: 0n, robust: 32n, robustLength: 40n, clearTid: 48n, timers: 64n, sigactions: 256n } as const;
const PR_GET_TID_ADDRESS = 40;
const ITIMERVAL = 32n;
/** ITIMER_VIRTUAL and ITIMER_PROF count CPU time, which passes elsewhere. */
const CPU_TIMERS = [1, 2] as const;
const SIGSET_BYTES = 8;

/** Asks the deputy for all that only the process itself can tell, and describes it. */
export async function captureAtHome(
  home: HomeProcess,
  frozen: FrozenProcess,
  layout: Layout,
  cpu: AwayCpu,
  clocks = readClocks(),
): Promise<Image> {
  const { deputy } = home.leader;
  const s = deputy.scratch;
  const actions = Array.from({ length: SIGNALS }, (_, i) => ({
    nr: Sys.rtSigaction,
    args: [i + 1, 0, s + At.sigactions + BigInt(i * SIGACTION_BYTES), SIGSET_BYTES],
  }));
  const all = threadsOf(frozen).map((f) => ({ f, thread: home.threads.get(f.tid) }));
  // All are asked before the first has answered.
  const [results, threads, registered] = await Promise.all([
    deputy.calls([
      { nr: Sys.brk, args: [0] },
      ...CPU_TIMERS.map((which, i) => ({ nr: Sys.getitimer, args: [which, s + At.timers + ITIMERVAL * BigInt(i)] })),
      ...actions,
    ]),
    Promise.all(all.map(({ f, thread }) => captureThread(thread?.deputy ?? deputy, f, cpu.threads.get(f.tid) ?? NO_CPU.all))),
    deputy.call(Sys.membarrier, GET_REGISTRATIONS, 0, 0),
  ]);
  answered(results);
  const armed = deputy.peek(s + At.timers, Number(ITIMERVAL) * CPU_TIMERS.length).some((b) => b !== 0);
  if (armed) throw new TeselaError("E_CANTMOVE", `process ${deputy.pid} has a CPU-time timer running`, { reasons: ["cpu_timer"] });
  return {
    pid: deputy.pid,
    vmas: layout.vmas,
    objects: layout.objects,
    vdso: layout.vdso,
    mm: readMm(deputy.pid, results[0] as bigint),
    sigactions: deputy.peek(s + At.sigactions, SIGNALS * SIGACTION_BYTES),
    // Where home keeps them they are no part of what leaves.
    pending: home.signalsAtHome ? [] : leaving(frozen.pending),
    threads: home.signalsAtHome ? threads.map((t) => ({ ...t, pending: [] })) : threads,
    signalsAtHome: home.signalsAtHome,
    limits: readMemoryLimits(deputy.pid),
    cpuUsed: cpu.all,
    clocks,
    barriers: barriersOf(registered),
    nice: proc.readStat(deputy.pid).nice,
    ids: readIds(deputy.pid),
  };
}

/** Stops and continuations wait at home, where the kernel has them undo each other. */
const leaving = (pending: readonly Uint8Array[]): readonly Uint8Array[] => pending.filter((info) => !isJobControl(info));

const answered = (results: readonly bigint[]): void =>
  assert(
    results.every((r) => r >= 0n),
    "the deputy answers about itself",
  );

async function captureThread(deputy: Deputy, frozen: Frozen, cpuUsed: Image["cpuUsed"]): Promise<ThreadImage> {
  const s = deputy.scratch;
  answered(
    await deputy.calls([
      { nr: Sys.sigaltstack, args: [0, s + At.altStack] },
      { nr: Sys.getRobustList, args: [0, s + At.robust, s + At.robustLength] },
      { nr: Sys.prctl, args: [PR_GET_TID_ADDRESS, s + At.clearTid] },
    ]),
  );
  const alt = deputy.peek(s + At.altStack, 24);
  const regs = frozen.regs.clone();
  // Should it stay, the call has ended with that: it went on by itself.
  if (frozen.written) beforeWrite(regs, frozen.written);
  return {
    tid: frozen.tid,
    regs: regs.bytes,
    xstate: frozen.xstate,
    sigmask: frozen.sigmask,
    altStack: { sp: alt.readBigUInt64LE(0), flags: alt.readInt32LE(8), size: alt.readBigUInt64LE(16) },
    robustList: deputy.peek(s + At.robust, 8).readBigUInt64LE(0),
    clearTid: deputy.peek(s + At.clearTid, 8).readBigUInt64LE(0),
    rseq: frozen.rseq,
    pending: leaving(frozen.pending),
    restart: frozen.restart,
    // What it has waited here already only its kernel knows.
    written: frozen.written,
    waitEnd: null,
    position: null,
    cpuUsed,
  };
}

function readMm(pid: number, brk: bigint): Mm {
  const stat = proc.readStat(pid);
  return {
    startCode: stat.field(26),
    endCode: stat.field(27),
    startData: stat.field(45),
    endData: stat.field(46),
    startBrk: stat.field(47),
    brk,
    startStack: stat.field(28),
    argStart: stat.field(48),
    argEnd: stat.field(49),
    envStart: stat.field(50),
    envEnd: stat.field(51),
  };
}

/** Limits that act where the memory is. */
function readMemoryLimits(pid: number): Image["limits"] {
  const limits = proc.readLimits(pid);
  const limit = (name: string): RawLimit => present(limits.get(name), `limit '${name}'`);
  return { stack: limit("Max stack size"), data: limit("Max data size"), as: limit("Max address space") };
}

function readIds(pid: number): Image["ids"] {
  const status = proc.readStatus(pid);
  const [uid = 0, euid = 0] = (proc.statusField(status, "Uid") ?? "").split("\t").map(Number);
  const [gid = 0, egid = 0] = (proc.statusField(status, "Gid") ?? "").split("\t").map(Number);
  return { uid, euid, gid, egid };
}

/** Reads a carried file to its end in pieces. @throws TeselaError E_GONE when it is shorter by now */
export function* readCarried(fd: number, file: CarriedFile, chunkBytes: number): Generator<Buffer> {
  for (let at = 0; at < file.size; ) {
    const chunk = Buffer.alloc(Math.min(chunkBytes, file.size - at));
    const n = readSync(fd, chunk, 0, chunk.length, at);
    if (n === 0) throw new TeselaError("E_GONE", `a mapped file shrank while it was carried (${file.hash})`);
    yield chunk.subarray(0, n);
    at += n;
  }
}
