import { closeSync, mkdirSync, readFileSync, writeSync } from "node:fs";
import { assert, type Log, TeselaError } from "../base/mod.ts";
import { type RawCall, SKELETON_BASE, SKELETON_DATA, SKELETON_DATA_SIZE, Stub, skeletonElf } from "../image/mod.ts";
import { isErrno, libc, proc, ptrace, type Tracees } from "../sys/mod.ts";
import { type Shift, writeOffsets } from "./clocks.ts";
import { Sys } from "./numbers.ts";
import { PidSpace } from "./pid-space.ts";
import { place, runList } from "./skeleton.ts";

/** What guests are called in the host's process list, in place of their own names. */
export const GUEST_NAME = "tesela-guest";
/** nobody: owns nothing on the host. */
export const GUEST_UID = 65534;

const SIGCHLD = 17;
const SIG_IGN = 1n;
const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0x80000;
const CLONE_NEW = { ns: 0x20000, cgroup: 0x02000000, uts: 0x04000000, ipc: 0x08000000, net: 0x40000000 } as const;

const CLONE_NEWTIME = 0x80;
const NO_SHIFT: Shift = { monotonic: 0n, boot: 0n };

/** The guest's end of the socket over which the engine hands it files to map. */
export const GUEST_SOCKET = 0;

/** Options for guests: they die with the engine, and their forbidden calls stop. */
const GUEST_OPTIONS =
  ptrace.Option.EXITKILL |
  ptrace.Option.TRACESECCOMP |
  ptrace.Option.TRACESYSGOOD |
  ptrace.Option.TRACEFORK |
  ptrace.Option.TRACECLONE |
  ptrace.Option.TRACEVFORK;

/**
 * The parent of all guests of a node: an empty process in namespaces of its own (no files, no network, no processes to
 * see), stopped for good. Guests are forked from it, which takes some tens of microseconds.
 */
export class Zygote implements Disposable {
  readonly tid: number;
  /** Our end of the guests' socket. */
  readonly socket: number;
  private readonly tracees: Tracees;
  private shifting = false;

  private constructor(tid: number, socket: number, tracees: Tracees) {
    this.tid = tid;
    this.socket = socket;
    this.tracees = tracees;
  }

  /** @param emptyDir a directory that is made if need be and stays empty: the guests' root */
  static start(tracees: Tracees, emptyDir: string, log: Log): Zygote {
    mkdirSync(emptyDir, { recursive: true, mode: 0o755 });
    const pair = Buffer.alloc(8);
    libc.must("socketpair", libc.socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
    const [ours, theirs] = [pair.readInt32LE(0), pair.readInt32LE(4)];
    const image = libc.must("memfd_create", libc.memfdCreate(GUEST_NAME, 1));
    writeSync(image, skeletonElf(Stub.rest));
    const tid = libc.spawn(`/proc/${process.pid}/fd/${image}`, [GUEST_NAME], [theirs]);
    closeSync(theirs);
    closeSync(image);
    ptrace.seize(tid, GUEST_OPTIONS);
    ptrace.interrupt(tid);
    const stop = tracees.wait(tid);
    assert(stop.kind === "event", `the guests' parent stops as asked (${JSON.stringify(stop)})`);
    const zygote = new Zygote(tid, ours, tracees);
    zygote.empty();
    zygote.isolate(emptyDir, log);
    return zygote;
  }

  /** Takes away the stack and the vdso that execve(2) gave it, so that guests start with nothing. */
  private empty(): void {
    const extra = proc
      .readMaps(this.tid)
      .filter((l) => l.name !== "[vsyscall]" && (l.start < SKELETON_BASE || l.start >= SKELETON_DATA + BigInt(SKELETON_DATA_SIZE)));
    runList(
      this.tracees,
      this.tid,
      extra.map((l) => ({ nr: Sys.munmap, args: [l.start, l.end - l.start] })),
    );
  }

  private isolate(emptyDir: string, log: Log): void {
    const must: RawCall[] = [{ nr: Sys.rtSigaction, args: [SIGCHLD, place(this.tid, 0, sigaction(SIG_IGN)), 0, 8] }];
    runList(this.tracees, this.tid, must);
    // Each is worth having alone: where the kernel denies one, the seccomp filter still stands before everything.
    for (const [name, flag] of Object.entries(CLONE_NEW)) {
      const [r = 0n] = runList(this.tracees, this.tid, [{ nr: Sys.unshare, args: [flag] }], true);
      if (isErrno(r)) log.warn("guests share a namespace with the host", { namespace: name, errno: Number(-r) });
    }
    const dir = place(this.tid, 0, Buffer.from(`${emptyDir}\0`));
    const root = place(this.tid, 1024, Buffer.from("/\0"));
    const [chroot = 0n] = runList(
      this.tracees,
      this.tid,
      [
        { nr: Sys.chroot, args: [dir] },
        { nr: Sys.chdir, args: [root] },
      ],
      true,
    );
    if (isErrno(chroot)) log.warn("guests keep the host's root directory", { errno: Number(-chroot) });
  }

  /**
   * A place for a new guest. It dies with the engine.
   * @param shift what is added to the clocks that count from boot
   * @throws TeselaError E_NOMEM, E_CANTMOVE where clocks cannot be shifted
   */
  space(shift: Shift | null): PidSpace {
    this.setClocks(shift);
    return PidSpace.start(this.tracees, this.tid);
  }

  /** The time namespace of the children to come. */
  private setClocks(shift: Shift | null): void {
    if (shift === null && !this.shifting) return;
    const [r = 0n] = runList(this.tracees, this.tid, [{ nr: Sys.unshare, args: [CLONE_NEWTIME] }], true);
    if (isErrno(r)) {
      throw new TeselaError("E_CANTMOVE", `the kernel gives guests no time namespace: errno ${-r}`, { reasons: ["clocks_differ"] });
    }
    this.shifting = true;
    writeOffsets(this.tid, shift ?? NO_SHIFT);
  }

  [Symbol.dispose](): void {
    closeSync(this.socket);
    libc.kill(this.tid, 9);
  }
}

function sigaction(handler: bigint): Buffer {
  const b = Buffer.alloc(32);
  b.writeBigUInt64LE(handler, 0);
  return b;
}

/** True when an unprivileged user exists to run guests as: in a user namespace it may not be mapped. */
export function canBecomeNobody(): boolean {
  if (process.getuid?.() !== 0) return false;
  return readFileSync("/proc/self/uid_map", "utf8")
    .trim()
    .split("\n")
    .some((line) => {
      const [inside = 0, , count = 0] = line.trim().split(/\s+/).map(Number);
      return inside <= GUEST_UID && GUEST_UID < inside + count;
    });
}
