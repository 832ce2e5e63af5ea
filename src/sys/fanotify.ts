import { closeSync, openSync, readSync, writeSync } from "node:fs";
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
/** ioctl(2). */
const FIONREAD = 0x541b;

/** Somebody wants to open a file, and waits in the kernel until that is allowed. */
export interface Opening {
  /** Of the process; 0 for one of another PID namespace. */
  readonly pid: number;
  allow(): void;
}

/** Who opens a watched file waits for us; closed, all are let through. */
export class OpenWatch implements Disposable {
  private readonly fd: number;
  private readonly event = Buffer.alloc(EVENT_BYTES);
  private readonly due = Buffer.alloc(4);
  /** Kept open so that there is room for the descriptor of the next event. */
  private spare: number | null = null;

  /** @throws SysError EPERM without CAP_SYS_ADMIN, ENOSYS, EINVAL where the kernel cannot ask */
  constructor() {
    this.fd = syscall("fanotify_init", NR.fanotify_init, FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY);
    this.hasRoom();
  }

  /** @param fd open on the file; we must not open it ourselves any more: nobody would be there to allow it. @throws SysError */
  add(fd: number): void {
    const path = Buffer.from(`/proc/self/fd/${fd}\0`);
    syscall("fanotify_mark", NR.fanotify_mark, this.fd, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, addressOf(path));
  }

  /** Whether somebody waits whom {@link next} has not told of. @throws SysError */
  get isDue(): boolean {
    syscall("ioctl", NR.ioctl, this.fd, FIONREAD, addressOf(this.due));
    return this.due.readInt32LE(0) > 0;
  }

  /**
   * One who waits now, to be allowed some time; null when there is nobody, and when this process is out of descriptors. Does not wait itself.
   *
   * An event comes with a descriptor of ours. Where the kernel finds none it says so (EMFILE, ENFILE) and lets whoever waits have EPERM
   * (fs/notify/fanotify/fanotify_user.c, fanotify_read). So nothing is read unless there is one: they wait on.
   */
  next(): Opening | null {
    if (!this.isDue || !this.hasRoom()) return null;
    if (this.spare !== null) closeSync(this.spare);
    this.spare = null;
    try {
      readSync(this.fd, this.event, 0, EVENT_BYTES, null);
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === "EAGAIN") return null;
      throw e;
    }
    const fd = this.event.readInt32LE(AT_FD);
    return { pid: this.event.readInt32LE(AT_PID), allow: () => this.allow(fd) };
  }

  private hasRoom(): boolean {
    try {
      this.spare ??= openSync("/dev/null", "r");
      return true;
    } catch {
      return false;
    }
  }

  private allow(fd: number): void {
    const response = Buffer.alloc(8);
    response.writeInt32LE(fd, 0);
    response.writeUInt32LE(FAN_ALLOW, 4);
    writeSync(this.fd, response);
    closeSync(fd);
  }

  [Symbol.dispose](): void {
    if (this.spare !== null) closeSync(this.spare);
    closeSync(this.fd);
  }
}
