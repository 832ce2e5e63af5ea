import { closeSync, fstatSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { TeselaError } from "../base/mod.ts";
import { type Area, openMapped, readAreas } from "../image/mod.ts";
import { proc } from "../sys/mod.ts";

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
}

export interface Sharers {
  /** The process first. */
  readonly pids: readonly number[];
  readonly objects: ReadonlyMap<string, FoundObject>;
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
 * @throws TeselaError E_CANTMOVE where somebody else can reach it, whom the message names; E_NOENT_PID
 */
export function sharersOf(pid: number): Sharers {
  const objects = new Map<string, FoundObject>();
  const pids = [pid];
  // Most processes share nothing: then nobody else is looked at.
  let all: Map<string, number[]> | null = null;
  for (let i = 0; i < pids.length; i++) {
    const one = pids[i] as number;
    for (const area of sharedAreas(one)) {
      const id = objectId(area.line);
      if (objects.has(id)) continue;
      objects.set(id, found(one, area));
      all ??= mappings();
      for (const other of all.get(id) ?? []) if (!pids.includes(other)) pids.push(other);
    }
  }
  for (const object of objects.values()) mustBeClosed(pid, object, all?.get(object.id)?.length ?? 0);
  if (objects.size > MAX_OBJECTS) refuse(pid, "shared_memory", `in ${objects.size} pieces, more than ${MAX_OBJECTS}`);
  return { pids, objects };
}
/** Each takes a descriptor of the engine's at both ends. */
export const MAX_OBJECTS = 256;

function refuse(pid: number, reason: string, why: string): never {
  throw new TeselaError("E_CANTMOVE", `process ${pid} shares memory ${why}`, { reasons: [reason] });
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

function found(pid: number, { line, reason }: Shared): FoundObject {
  let fd: number;
  try {
    fd = openMapped(pid, line, O_RDWR);
  } catch (e) {
    throw new TeselaError("E_CANTMOVE", `shared memory of process ${pid} cannot be opened`, { reasons: [reason] }, { cause: e });
  }
  try {
    return { id: objectId(line), size: fstatSync(fd).size, reason, pid, line };
  } finally {
    closeSync(fd);
  }
}
const O_RDWR = 2;

const SHARED_LINE = /^\S+ ...s .*$/gm;
/** For all that is mapped to be shared, by whom: a process once for each of its mappings. */
function mappings(): Map<string, number[]> {
  const out = new Map<string, number[]>();
  for (const pid of processes()) {
    const text = unlessGone(() => readFileSync(`/proc/${pid}/maps`, "latin1")) ?? "";
    for (const [line] of text.matchAll(SHARED_LINE)) {
      const [parsed] = proc.parseMaps(line);
      if (!parsed) continue;
      const id = objectId(parsed);
      const pids = out.get(id);
      if (pids) pids.push(pid);
      else out.set(id, [pid]);
    }
  }
  return out;
}

const processes = (): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

function unlessGone<T>(look: () => T): T | null {
  try {
    return look();
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH" || code === "EACCES") return null;
    throw e;
  }
}

/** Nobody may come to it but those that map it: while they are away, what is at home is not what they see. */
function mustBeClosed(pid: number, object: FoundObject, mapped: number): void {
  const check = BY_REASON[object.reason];
  check?.(pid, object, mapped);
}

const BY_REASON: Readonly<Record<string, (pid: number, object: FoundObject, mapped: number) => void>> = {
  sysv_shm: segment,
  monkey: file,
};

/** Columns of /proc/sysvipc/shm: key, shmid, perms, size, cpid, lpid, nattch, ... */
const SHM_DEST = 0o1000;
function segment(pid: number, { line, reason }: FoundObject, mapped: number): void {
  const row = readFileSync("/proc/sysvipc/shm", "utf8")
    .split("\n")
    .map((text) => text.trim().split(/\s+/))
    .find(([, id]) => id === String(line.inode));
  if (!row) refuse(pid, reason, "with processes of another IPC namespace");
  if ((Number.parseInt(row[2] ?? "", 8) & SHM_DEST) === 0) {
    refuse(pid, reason, `that others can attach: segment ${line.inode}, which is not marked to be removed`);
  }
  const attached = Number(row[6]);
  if (attached !== mapped) refuse(pid, reason, `with processes that are not seen here: segment ${line.inode}, attached ${attached} times`);
}

/** A file that has a name, or is open somewhere, is read and written there. */
function file(pid: number, { line, reason, pid: owner }: FoundObject): void {
  const fd = openMapped(owner, line);
  try {
    const { nlink, dev, ino } = fstatSync(fd);
    if (nlink > 0) refuse(pid, reason, `that others can open: ${line.name}`);
    const holder = processes().find((other) => other !== process.pid && hasOpen(other, dev, ino));
    if (holder !== undefined) refuse(pid, reason, `that ${nameOf(holder)} has open: ${line.name}`);
  } finally {
    closeSync(fd);
  }
}

function hasOpen(pid: number, dev: number, ino: number): boolean {
  const dir = `/proc/${pid}/fd`;
  const names = unlessGone(() => readdirSync(dir)) ?? [];
  return names.some((name) => {
    const target = unlessGone(() => readlinkSync(`${dir}/${name}`));
    if (!target?.endsWith(" (deleted)")) return false;
    const st = unlessGone(() => statSync(`${dir}/${name}`));
    return st?.dev === dev && st.ino === ino;
  });
}

/** What keeps a process at home keeps those at home that share its memory. @throws TeselaError E_CANTMOVE */
export function refuseFor(pid: number, member: number, objects: Sharers["objects"], reasons: readonly string[]): never {
  const shared = [...new Set([...objects.values()].map((o) => o.reason))];
  const why = `with ${nameOf(member)}, which cannot leave home now: ${reasons.join(", ")}`;
  throw new TeselaError("E_CANTMOVE", `process ${pid} shares memory ${why}`, { reasons: [...shared, ...reasons] });
}
