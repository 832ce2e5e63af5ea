import { closeSync, readlinkSync, readSync } from "node:fs";
import { NR } from "../abi/mod.ts";
import { addressOf, syscall } from "./libc.unsafe.ts";

/** Hearing of programs that begin, by fanotify(7). */

const FAN_CLASS_NOTIF = 0;
const FAN_CLOEXEC = 0x1;
const FAN_NONBLOCK = 0x2;
const FAN_MARK_ADD = 0x1;
const FAN_MARK_MOUNT = 0x10;
/** A file is opened to be executed; since Linux 5.0. */
const FAN_OPEN_EXEC = 0x1000;
const FAN_Q_OVERFLOW = 0x4000;
const AT_FDCWD = -100;
/** O_RDONLY | O_LARGEFILE | O_CLOEXEC, for the descriptors that come with events. */
const EVENT_FLAGS = 0x80000 | 0x8000;
/** struct fanotify_event_metadata: event_len, vers, reserved, metadata_len, mask, fd, pid. */
const HEAD_BYTES = 24;
const AT_MASK = 8;
const AT_FD = 16;
const AT_PID = 20;
const BUFFER_BYTES = 64 * HEAD_BYTES;

/** A process has opened a file to execute it: the program, the interpreter of a script, or the program's loader. */
export interface Beginning {
  readonly pid: number;
  readonly path: string;
}

/** Tells of programs that begin on the mounts of this mount namespace. Nobody waits for us: it is told of what happens anyway. */
export class ExecWatch implements Disposable {
  private readonly fd: number;
  private readonly buffer = Buffer.alloc(BUFFER_BYTES);

  /** @throws SysError EPERM without CAP_SYS_ADMIN; ENOSYS, EINVAL where the kernel cannot tell */
  constructor() {
    this.fd = syscall("fanotify_init", NR.fanotify_init, FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK, EVENT_FLAGS);
  }

  /** Watches all of the mount that a path is on. @throws SysError */
  addMount(path: string): void {
    const text = Buffer.from(`${path}\0`);
    syscall("fanotify_mark", NR.fanotify_mark, this.fd, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN_EXEC, AT_FDCWD, addressOf(text));
  }

  /** What has begun since the last time, in order; more than the kernel's queue holds is lost. Does not wait. */
  take(): Beginning[] {
    const out: Beginning[] = [];
    for (;;) {
      let n: number;
      try {
        n = readSync(this.fd, this.buffer, 0, BUFFER_BYTES, null);
      } catch (e) {
        if ((e as NodeJS.ErrnoException).code === "EAGAIN") return out;
        throw e;
      }
      for (let at = 0; at + HEAD_BYTES <= n; at += this.buffer.readUInt32LE(at)) {
        const event = this.event(at);
        if (event) out.push(event);
      }
      if (n < BUFFER_BYTES) return out;
    }
  }

  private event(at: number): Beginning | null {
    if ((this.buffer.readUInt32LE(at + AT_MASK) & FAN_Q_OVERFLOW) !== 0) return null;
    const fd = this.buffer.readInt32LE(at + AT_FD);
    if (fd < 0) return null;
    try {
      return { pid: this.buffer.readInt32LE(at + AT_PID), path: readlinkSync(`/proc/self/fd/${fd}`) };
    } finally {
      closeSync(fd);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}
