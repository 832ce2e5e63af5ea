import { closeSync, readSync, writeSync } from "node:fs";
import { NR } from "../abi/mod.ts";
import { addressOf, syscall } from "./libc.unsafe.ts";

/** Being asked before a file is opened, by fanotify(7). */

const FAN_CLASS_CONTENT = 0x4;
const FAN_CLOEXEC = 0x1;
const FAN_NONBLOCK = 0x2;
const FAN_MARK_ADD = 0x1;
const FAN_OPEN_PERM = 0x10000;
const FAN_ALLOW = 1;
const AT_FDCWD = -100;
const O_RDONLY = 0;
/** struct fanotify_event_metadata: event_len, vers, reserved, metadata_len, mask, fd, pid. */
const EVENT_BYTES = 24;
const AT_FD = 16;
const AT_PID = 20;
const MOST_EVENTS = 64;

/** Somebody wants to open a file, and waits in the kernel until that is allowed. */
export interface Opening {
  /** Of the process; 0 for one of another PID namespace. */
  readonly pid: number;
  allow(): void;
}

/** Who opens a watched file waits for us; closed, all are let through. */
export class OpenWatch implements Disposable {
  private readonly fd: number;
  private readonly buffer = Buffer.alloc(EVENT_BYTES * MOST_EVENTS);

  /** @throws SysError EPERM without CAP_SYS_ADMIN, ENOSYS, EINVAL where the kernel cannot ask */
  constructor() {
    this.fd = syscall("fanotify_init", NR.fanotify_init, FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY);
  }

  /** @param fd open on the file; we must not open it ourselves any more: nobody would be there to allow it. @throws SysError */
  add(fd: number): void {
    const path = Buffer.from(`/proc/self/fd/${fd}\0`);
    syscall("fanotify_mark", NR.fanotify_mark, this.fd, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, addressOf(path));
  }

  /** Those who wait now; each has to be allowed some time. Does not wait itself. */
  waiting(): Opening[] {
    let length: number;
    try {
      length = readSync(this.fd, this.buffer, 0, this.buffer.length, null);
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === "EAGAIN") return [];
      throw e;
    }
    return Array.from({ length: length / EVENT_BYTES }, (_, i) => {
      const event = i * EVENT_BYTES;
      const fd = this.buffer.readInt32LE(event + AT_FD);
      return { pid: this.buffer.readInt32LE(event + AT_PID), allow: () => this.allow(fd) };
    });
  }

  private allow(fd: number): void {
    const response = Buffer.alloc(8);
    response.writeInt32LE(fd, 0);
    response.writeUInt32LE(FAN_ALLOW, 4);
    writeSync(this.fd, response);
    closeSync(fd);
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}
