import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { TeselaError } from "../base/mod.ts";
import type { SharedObject } from "../image/mod.ts";
import { libc, type proc } from "../sys/mod.ts";
import type { OpenObject } from "./carry.ts";
import type { PidSpace } from "./pid-space.ts";
import type { Shift } from "./clocks.ts";
import { MAX_OBJECTS } from "./sharers.ts";

const MEMFD = "tesela-shared";
const MFD_CLOEXEC = 1;

interface Entry extends SharedObject {
  readonly fd: number;
  readonly inode: bigint;
}

/**
 * What guests that came as a group have in common on their host: the memory that they share, as memory files, and the namespace in
 * which they have their PIDs. It goes with the last of them.
 */
export class GroupMemory {
  private readonly entries = new Map<string, Entry>();
  private readonly onEmpty: () => void;
  private readonly room: () => number;
  private coming = 0;
  private members = 0;
  /** Where all of them live, once the first one does. */
  place: { readonly space: PidSpace; readonly shift: Shift | null } | null = null;

  /** @param room bytes that may come now */
  constructor(room: () => number, onEmpty: () => void) {
    this.room = room;
    this.onEmpty = onEmpty;
  }

  /** Made when it is first asked for. @throws TeselaError E_PROTOCOL */
  private entry({ name, size }: SharedObject): Entry {
    const known = this.entries.get(name);
    if (known) {
      if (known.size !== size) throw new TeselaError("E_PROTOCOL", "shared memory of two sizes");
      return known;
    }
    if (this.entries.size >= MAX_OBJECTS) throw new TeselaError("E_PROTOCOL", "a group that shares too much");
    const fd = libc.must("memfd_create", libc.memfdCreate(MEMFD, MFD_CLOEXEC));
    try {
      ftruncateSync(fd, size);
      const entry = { name, size, fd, inode: fstatSync(fd, { bigint: true }).ino };
      this.entries.set(name, entry);
      return entry;
    } catch (e) {
      closeSync(fd);
      throw e;
    }
  }

  /** A descriptor of it, to be closed by the caller: only for reading when it may never be made writable. */
  open(object: SharedObject, writable: boolean): number {
    return openSync(`/proc/self/fd/${this.entry(object).fd}`, writable ? "r+" : "r");
  }

  /** @throws TeselaError E_PROTOCOL, E_NOMEM; SysError ENOSPC */
  write(object: SharedObject, at: number, bytes: Uint8Array): void {
    const { fd, size } = this.entry(object);
    if (at + bytes.length > size) throw new TeselaError("E_PROTOCOL", "shared memory that is longer than its home said");
    // The kernel counts these pages as the engine's, not as its guests'.
    if (this.room() < bytes.length) throw new TeselaError("E_NOMEM", "this node has no memory left for what a group shares");
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, at + done);
  }

  /** What an area of a guest shows; null when it is not shared. */
  shownBy(line: proc.MapsLine): SharedObject | null {
    if (!line.shared) return null;
    for (const entry of this.entries.values()) if (entry.inode === line.inode) return entry;
    return null;
  }

  /** What its home asks for, as far as it is here. */
  named(names: readonly string[]): OpenObject[] {
    return names.flatMap((name) => this.entries.get(name) ?? []);
  }

  join(): void {
    this.members++;
  }
  /** A process is on its way that shares it. */
  expect(): Disposable {
    this.join();
    this.coming++;
    return {
      [Symbol.dispose]: () => {
        this.coming--;
        this.leave();
      },
    };
  }
  get isComing(): boolean {
    return this.coming > 0;
  }
  leave(): void {
    if (--this.members > 0) return;
    for (const { fd } of this.entries.values()) closeSync(fd);
    this.entries.clear();
    this.onEmpty();
  }
}
