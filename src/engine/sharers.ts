import { setTimeout as sleep } from "node:timers/promises";
import { closeSync, fstatSync, readFileSync } from "node:fs";
import { TeselaError, toTeselaError } from "../base/mod.ts";
import { type Area, openMapped, readAreas } from "../image/mod.ts";
import { proc } from "../sys/mod.ts";
import { Census, unlessGone } from "./census.ts";

/** Who shares writable memory with a process, told from /proc: they can only be moved together. */

type Shared = Extract<Area, { kind: "shared" }>;

/** Memory that processes share: all of it is in tmpfs, as shared anonymous, System V and POSIX shared memory is, and memory files. */
export interface FoundObject {
  /** Device and inode on this machine. */
  readonly id: string;
  /** Bytes. */
  readonly size: number;
  /** What keeps its processes at home when it cannot be carried. */
  readonly reason: string;
  /** A mapping of it. */
  readonly pid: number;
  readonly line: proc.MapsLine;
  /** Others may come to open it. */
  named: boolean;
}

/** Descriptors on what a process shares: it must not use them where that is not. */
export interface Guard {
  readonly fds: readonly number[];
  /** Some are still open after execve(2). */
  readonly kept: boolean;
}
export const NO_GUARD: Guard = { fds: [], kept: false };

export interface Sharers {
  /** The process first. */
  readonly pids: readonly number[];
  readonly objects: ReadonlyMap<string, FoundObject>;
  readonly guards: ReadonlyMap<number, Guard>;
}
/** One that shares nothing. */
export const alone = (pid: number): Sharers => ({ pids: [pid], objects: new Map(), guards: new Map() });
interface Found extends Sharers {
  readonly guards: Map<number, Guard>;
  readonly census: Census;
}

export const objectId = (line: Pick<proc.MapsLine, "dev" | "inode">): string => `${line.dev}:${line.inode}`;
const nameOf = (pid: number): string => {
  try {
    return `process ${pid} (${proc.readStat(pid).comm})`;
  } catch {
    return `process ${pid}`;
  }
};

/**
 * The processes that share memory with this one, with those, and so on, and what they share.
 * @param census what an earlier look has found: asked of it again, processes that were there are not looked at again
 * @throws TeselaError E_CANTMOVE where somebody else can reach it, whom the message names
 */
export async function sharersOf(pid: number, census: Census = new Census()): Promise<Sharers> {
  for (let tries = 1; ; tries++) {
    try {
      return look(pid, census);
    } catch (e) {
      const { code, message, details } = toTeselaError(e);
      if (code !== "E_BUSY") throw e;
      // One begins or ends while it is looked at: it was not there yet, or has given up a part of what it had.
      if (tries === MAX_LOOKS) throw new TeselaError("E_CANTMOVE", message, { ...details }, { cause: e });
      await sleep(LOOK_MS);
      census.forget();
    }
  }
}
const MAX_LOOKS = 20;
const LOOK_MS = 5;

function look(pid: number, census: Census): Sharers {
  const objects = new Map<string, FoundObject>();
  const pids = [pid];
  // Most processes share nothing: then nobody else is looked at.
  const mapped = new Map<string, number>();
  for (let i = 0; i < pids.length; i++) {
    const one = pids[i] as number;
    for (const area of sharedAreas(one)) {
      const id = objectId(area.line);
      if (objects.has(id)) continue;
      objects.set(id, describe(one, area));
      if (mapped.size === 0) census.count();
      const by = mappedBy(census, id, true);
      mapped.set(id, by.length);
      for (const other of by) if (!pids.includes(other)) pids.push(other);
    }
  }
  const found = { pids, objects, guards: new Map<number, Guard>() };
  for (const object of objects.values()) BY_REASON[object.reason]?.(pid, object, { ...found, census }, mapped.get(object.id) ?? 0);
  if (objects.size > MAX_OBJECTS) refuse(pid, "shared_memory", `in ${objects.size} pieces, more than ${MAX_OBJECTS}`);
  return found;
}
/** Each takes a descriptor of the engine's at both ends. */
export const MAX_OBJECTS = 256;

function refuse(pid: number, reason: string, why: string): never {
  throw new TeselaError("E_CANTMOVE", `process ${pid} shares memory ${why}`, { reasons: [reason] });
}

/** As {@link refuse}, when that is so for a while. */
function seemsShared(pid: number, reason: string, why: string): never {
  throw new TeselaError("E_BUSY", `process ${pid} shares memory ${why}`, { reasons: [reason] });
}

function sharedAreas(pid: number): Shared[] {
  try {
    return readAreas(pid).filter((a) => a.kind === "shared");
  } catch (e) {
    // It ends, or it is no process that has memory.
    if (proc.exists(pid) && (e as NodeJS.ErrnoException).code !== "ESRCH") throw e;
    return [];
  }
}

function describe(pid: number, { line, reason }: Shared): FoundObject {
  let fd: number;
  try {
    fd = openMapped(pid, line, O_PATH);
  } catch (e) {
    throw new TeselaError("E_CANTMOVE", `shared memory of process ${pid} cannot be opened`, { reasons: [reason] }, { cause: e });
  }
  try {
    return { id: objectId(line), size: fstatSync(fd).size, reason, pid, line, named: false };
  } finally {
    closeSync(fd);
  }
}
/** Whose mappings show an object, a process once for each. */
const mappedBy = (census: Census, id: string, shared: boolean): number[] =>
  census.processes.flatMap((pid) =>
    census.linesOn(pid, deviceOf(id)).flatMap((l) => (l.shared === shared && objectId(l) === id ? [pid] : [])),
  );
const deviceOf = (id: string): string => id.slice(0, id.lastIndexOf(":"));

/** While they are away nobody may come to what is at home but those that map it. @throws TeselaError E_CANTMOVE */
type Check = (pid: number, object: FoundObject, found: Found, mapped: number) => void;
const BY_REASON: Readonly<Record<string, Check>> = {
  sysv_shm: segment,
  monkey: file,
};

/** Columns of /proc/sysvipc/shm: key, shmid, perms, size, cpid, lpid, nattch, ... */
const SHM_DEST = 0o1000;
function segment(pid: number, { line, reason }: FoundObject, _: Found, mapped: number): void {
  const row = readFileSync("/proc/sysvipc/shm", "utf8")
    .split("\n")
    .map((text) => text.trim().split(/\s+/))
    .find(([, id]) => id === String(line.inode));
  if (!row) refuse(pid, reason, "with processes of another IPC namespace");
  if ((Number.parseInt(row[2] ?? "", 8) & SHM_DEST) === 0) {
    refuse(pid, reason, `that others can attach: segment ${line.inode}, which is not marked to be removed`);
  }
  const attached = Number(row[6]);
  if (attached !== mapped)
    seemsShared(pid, reason, `with processes that are not seen here: segment ${line.inode}, attached ${attached} times`);
}

/** @throws TeselaError E_BUSY: it is not mapped any more */
function openSeen({ pid, line }: FoundObject): number {
  try {
    return openMapped(pid, line, O_PATH);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e;
    throw new TeselaError("E_BUSY", `process ${pid} has just given up memory that it shared; try again`, {}, { cause: e });
  }
}

/** Who has a file open, or maps it privately, reads there what is not what those see that are away. */
function file(pid: number, object: FoundObject, { pids, guards, census }: Found): void {
  const { line, reason } = object;
  const fd = openSeen(object);
  try {
    const { nlink, dev, ino } = fstatSync(fd);
    object.named = nlink > 0;
    const [copy] = mappedBy(census, object.id, false);
    if (copy !== undefined) refuse(pid, reason, `of which ${nameOf(copy)} has a copy: ${line.name}`);
    for (const other of census.processes) {
      if (other === process.pid) continue;
      const open = census.openOf(other, pids.includes(other)).flatMap((o) => (o.dev === dev && o.ino === ino ? [o.fd] : []));
      if (open.length === 0) continue;
      if (!pids.includes(other)) seemsShared(pid, reason, `that ${nameOf(other)} has open: ${line.name}`);
      const guard = guards.get(other) ?? NO_GUARD;
      guards.set(other, { fds: [...guard.fds, ...open], kept: guard.kept || open.some((n) => staysOpen(other, n)) });
    }
  } finally {
    closeSync(fd);
  }
}
/** open(2): a descriptor for looking only, whose making nobody is asked about. */
const O_PATH = 0o10000000;

/** Whether the next program has it too (proc_pid_fdinfo(5)). */
function staysOpen(pid: number, fd: number): boolean {
  const flags = /^flags:\s*([0-7]+)/m.exec(unlessGone(() => readFileSync(`/proc/${pid}/fdinfo/${fd}`, "latin1")) ?? "")?.[1];
  return (Number.parseInt(flags ?? "0", 8) & O_CLOEXEC) === 0;
}
const O_CLOEXEC = 0o2000000;

/** What keeps a process at home keeps those at home that share its memory. @throws TeselaError E_CANTMOVE */
export function refuseFor(pid: number, member: number, objects: Sharers["objects"], reasons: readonly string[]): never {
  const shared = [...new Set([...objects.values()].map((o) => o.reason))];
  const why = `with ${nameOf(member)}, which cannot leave home now: ${reasons.join(", ")}`;
  throw new TeselaError("E_CANTMOVE", `process ${pid} shares memory ${why}`, { reasons: [...shared, ...reasons] });
}
