import { closeSync, fstatSync, statSync, writeSync } from "node:fs";
import { type Log, TeselaError } from "../base/mod.ts";
import { openMapped, type SharedObject } from "../image/mod.ts";
import { Door } from "./door.ts";
import type { HomeProcess } from "./home-process.ts";
import type { Link } from "./links.ts";
import { Sys } from "./numbers.ts";
import { dropContent } from "./shared-content.ts";
import { libc, type proc } from "../sys/mod.ts";
import type { FoundObject } from "./sharers.ts";

/** Memory that a group shares, at home: held open, for its processes may unmap it while they are away. */
export interface HomeObject extends SharedObject {
  /** See {@link FoundObject}. */
  readonly id: string;
  readonly fd: number;
  readonly dev: number;
  readonly ino: number;
  /** Others may come to open it. */
  readonly named: boolean;
}

export interface Stay {
  readonly link: Link;
  readonly name: string;
}

/** Processes that share memory and are away together, and what they share. */
export class Group implements Disposable {
  readonly members = new Set<HomeProcess>();
  readonly objects: readonly HomeObject[];
  /** A move of all of them is under way. */
  claimed = false;
  /** Where they are, and what the group is called there. */
  stay: Stay | null = null;
  private readonly byId: ReadonlyMap<string, HomeObject>;
  private door: Door | null = null;
  private knocked = false;
  private disposed = false;

  private constructor(objects: readonly HomeObject[]) {
    this.objects = objects;
    this.byId = new Map(objects.map((o) => [o.id, o]));
  }

  /** @param name names the group: nothing else of this home that is away at the same time has that name */
  static of(name: string, found: Iterable<FoundObject>): Group {
    const objects: HomeObject[] = [];
    try {
      for (const { id, size, pid, line, named, reason } of found) {
        const fd = open(pid, line, reason);
        const { dev, ino } = fstatSync(fd);
        objects.push({ id, name: `${name}.${objects.length}`, size, fd, dev, ino, named });
      }
    } catch (e) {
      for (const { fd } of objects) closeSync(fd);
      throw e;
    }
    return new Group(objects);
  }

  /** What an area at home shows; null when that is not the group's. */
  shown(id: string): SharedObject | null {
    return this.byId.get(id) ?? null;
  }

  /** Whether a descriptor of a member shows what they share. */
  isOpenedBy(pid: number, fd: bigint): boolean {
    const st = statSync(`/proc/${pid}/fd/${fd}`, { throwIfNoEntry: false });
    return st !== undefined && this.objects.some((o) => o.dev === st.dev && o.ino === st.ino);
  }

  /** Others can come to what they share. */
  get isNamed(): boolean {
    return this.objects.some((o) => o.named);
  }

  /** Who comes to what has a name waits from now on until it is home again. @throws SysError */
  close(): void {
    const mine = (pid: number): boolean => pid === process.pid || [...this.members].some((m) => m.pid === pid);
    const named = this.objects.filter((o) => o.named);
    this.door = new Door(named, mine, () => {
      this.knocked = true;
      this.answer();
    });
  }

  /** Somebody waits for what they share: they come home. */
  answer(): void {
    if (!this.knocked || this.claimed) return;
    const [member] = [...this.members].filter((m) => m.phase === "away");
    member?.onBack("shared_memory", Sys.openat);
  }

  add(member: HomeProcess): void {
    this.members.add(member);
    member.group = this;
  }

  /** @returns whether it was the last one */
  remove(member: HomeProcess): boolean {
    if (!this.members.delete(member)) return false;
    member.group = null;
    return this.members.size === 0;
  }

  /** All have left: the memory at home is given back. */
  drop(log: Log): void {
    if (this.disposed) return;
    for (const { fd, size, name } of this.objects) {
      try {
        dropContent(fd, size);
      } catch (e) {
        log.warn("shared memory at home was not given back", { name, error: String(e) });
      }
    }
  }

  /** They come home: what was here is old. */
  prepare(): void {
    for (const { fd, size } of this.objects) dropContent(fd, size);
  }

  /** @throws TeselaError E_PROTOCOL; SysError ENOSPC */
  write(name: string, at: number, bytes: Uint8Array): void {
    const object = this.objects.find((o) => o.name === name);
    if (!object || at + bytes.length > object.size) throw new TeselaError("E_PROTOCOL", "shared memory that home does not know");
    for (let done = 0; done < bytes.length; ) done += writeSync(object.fd, bytes, done, bytes.length - done, at + done);
  }

  [Symbol.dispose](): void {
    if (this.disposed) return;
    this.disposed = true;
    this.door?.[Symbol.dispose]();
    for (const { fd } of this.objects) closeSync(fd);
  }
}
const O_RDWR = 2;
const F_GET_SEALS = 1034;
/** F_SEAL_WRITE, F_SEAL_FUTURE_WRITE. */
const WRITE_SEALS = 0x18;

function open(pid: number, line: proc.MapsLine, reason: string): number {
  try {
    const fd = openMapped(pid, line, O_RDWR);
    // What may not be written could not come home (F_GET_SEALS; other files have none).
    const seals = libc.fcntl(fd, F_GET_SEALS, 0);
    if (seals < 0 || (seals & WRITE_SEALS) === 0) return fd;
    closeSync(fd);
    throw new Error("it is sealed");
  } catch (e) {
    throw new TeselaError(
      "E_CANTMOVE",
      `shared memory of process ${pid} cannot be opened: ${String(e)}`,
      { reasons: [reason] },
      { cause: e },
    );
  }
}
