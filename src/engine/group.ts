import { closeSync, writeSync } from "node:fs";
import { type Log, TeselaError } from "../base/mod.ts";
import { openMapped, type SharedObject } from "../image/mod.ts";
import type { HomeProcess } from "./home-process.ts";
import { dropContent } from "./shared-content.ts";
import type { FoundObject } from "./sharers.ts";

/** Memory that a group shares, at home: held open, for its processes may unmap it while they are away. */
export interface HomeObject extends SharedObject {
  /** See {@link FoundObject}. */
  readonly id: string;
  readonly fd: number;
}

/** Processes that share memory and are away together, and what they share. */
export class Group implements Disposable {
  readonly members = new Set<HomeProcess>();
  readonly objects: readonly HomeObject[];
  /** A move of all of them is under way. */
  claimed = false;
  private readonly byId: ReadonlyMap<string, HomeObject>;

  private constructor(objects: readonly HomeObject[]) {
    this.objects = objects;
    this.byId = new Map(objects.map((o) => [o.id, o]));
  }

  /** @param name names the group: nothing else of this home that is away at the same time has that name */
  static of(name: string, found: Iterable<FoundObject>): Group {
    const objects: HomeObject[] = [];
    try {
      for (const { id, size, pid, line } of found) {
        objects.push({ id, name: `${name}.${objects.length}`, size, fd: openMapped(pid, line, O_RDWR) });
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

  add(member: HomeProcess): void {
    this.members.add(member);
    member.group = this;
  }

  /** Home of it, with the last one, nothing is held any more. */
  remove(member: HomeProcess): void {
    if (!this.members.delete(member)) return;
    member.group = null;
    if (this.members.size === 0) this[Symbol.dispose]();
  }

  /** All have left: the memory at home is given back. */
  drop(log: Log): void {
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
    for (const { fd } of this.objects) closeSync(fd);
  }
}
const O_RDWR = 2;
