import { closeSync, mkdirSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { assert, type Log, TeselaError } from "../base/mod.ts";
import { type RawCall, SKELETON_BASE, SKELETON_DATA, SKELETON_DATA_SIZE, Stub, skeletonElf } from "../image/mod.ts";
import { isErrno, libc, proc, ptrace, type Tracees } from "../sys/mod.ts";
import { type Shift, writeOffsets } from "./clocks.ts";
import type { GuestGroup } from "./guest-group.ts";
import type { GuestLimits } from "./guest-limits.ts";
import { Sys } from "./numbers.ts";
import { PidSpace } from "./pid-space.ts";
import { FDS_PER_MESSAGE, receiveBlock, sendDescriptors } from "./file-cache.ts";
import { place, runList, SKELETON_ARGS } from "./skeleton.ts";

/** What guests are called in the host's process list, in place of their own names. */
export const GUEST_NAME = "tesela-guest";
/** nobody: owns nothing on the host. */
export const GUEST_UID = 65534;

const SIGCHLD = 17;
const SIG_IGN = 1n;
const SIGACTION_ROOM = 64;
const PR_SET_NAME = 15;
const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0x80000;
const CLONE_NEW = { ns: 0x20000, cgroup: 0x02000000, uts: 0x04000000, ipc: 0x08000000, net: 0x40000000 } as const;

const CLONE_NEWTIME = 0x80;
const NO_SHIFT: Shift = { monotonic: 0n, boot: 0n };

const SIOCOUTQ = 0x5411;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
const UINT_MAX = 0xffffffff;
/** A guest leaves one message at most, and nobody sends behind it. */
const MAX_FORGOTTEN = 8;

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
  private readonly socket: number;
  private readonly tracees: Tracees;
  private shifting = false;

  private constructor(tid: number, socket: number, tracees: Tracees) {
    this.tid = tid;
    this.socket = socket;
    this.tracees = tracees;
  }

  /**
   * @param emptyDir a directory that is made if need be and stays empty: the guests' root
   * @param limits what guests may use of this node
   * @param group where that is enforced, if anywhere
   */
  static start(tracees: Tracees, emptyDir: string, log: Log, limits?: GuestLimits, group?: GuestGroup): Zygote {
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
    zygote.limit(log, limits, group);
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

  /** What all guests inherit: their memory goes first, none of them leaves a core on the host, and they yield to its owner. */
  private limit(log: Log, limits: GuestLimits | undefined, group: GuestGroup | undefined): void {
    writeFileSync(`/proc/${this.tid}/oom_score_adj`, String(OOM_FIRST));
    try {
      setLimit(this.tid, RLIMIT.core, NO_CORE);
    } catch {
      // It is 0 already and may not be raised.
    }
    if (!limits) return;
    try {
      group?.add(this.tid);
    } catch (e) {
      log.warn("guests cannot be put into their control group", { error: String(e) });
    }
    // Of no use where guests are the very user that runs other things too.
    if (!group?.limited.has("pids") && canBecomeNobody()) setLimit(this.tid, RLIMIT.nproc, BigInt(limits.tasks));
    if (!group?.limited.has("cpu")) this.yieldBySession(limits.weight);
  }

  /** Without a control group: a session of their own is one claimant of CPUs where the kernel groups by session (sched(7), autogroup). */
  private yieldBySession(weight: number): void {
    runList(this.tracees, this.tid, [{ nr: Sys.setsid, args: [] }], true);
    try {
      writeFileSync(`/proc/${this.tid}/autogroup`, String(Math.min(19, Math.round(Math.log(100 / weight) / Math.log(NICE_STEP)))));
    } catch {
      // This kernel does not.
    }
  }

  private isolate(emptyDir: string, log: Log): void {
    const name = place(this.tid, SIGACTION_ROOM, Buffer.from(`${GUEST_NAME}\0`));
    const must: RawCall[] = [
      { nr: Sys.rtSigaction, args: [SIGCHLD, place(this.tid, 0, sigaction(SIG_IGN)), 0, 8] },
      { nr: Sys.prctl, args: [PR_SET_NAME, name] },
    ];
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

  /**
   * Hands descriptors to the guest that receives next. What an earlier one has not taken, since it was ended first or could not, is
   * taken away before: it would be mapped as another's file.
   * @param fds at most FDS_PER_MESSAGE
   */
  send(fds: readonly number[]): void {
    for (let left = MAX_FORGOTTEN; this.unread() > 0; left--) {
      assert(left > 0, "the guests' socket is empty in the end");
      const block = place(this.tid, 0, receiveBlock(SKELETON_ARGS));
      const take = { nr: Sys.recvmsg, args: [GUEST_SOCKET, block, MSG_DONTWAIT | MSG_CMSG_CLOEXEC] };
      runList(this.tracees, this.tid, [take, { nr: Sys.closeRange, args: [GUEST_SOCKET + 1, UINT_MAX, 0] }], true);
    }
    assert(fds.length <= FDS_PER_MESSAGE, "descriptors of one message");
    sendDescriptors(this.socket, fds);
  }

  /** Bytes on their way to guests (unix(7), SIOCOUTQ). */
  private unread(): number {
    const bytes = Buffer.alloc(4);
    libc.syscall("ioctl", Sys.ioctl, this.socket, SIOCOUTQ, libc.addressOf(bytes));
    return bytes.readInt32LE(0);
  }

  [Symbol.dispose](): void {
    closeSync(this.socket);
    libc.kill(this.tid, 9);
  }
}

/** @throws SysError */
function setLimit(tid: number, resource: number, value: bigint): void {
  const b = Buffer.alloc(16);
  b.writeBigUInt64LE(value, 0);
  b.writeBigUInt64LE(value, 8);
  libc.must("prlimit", libc.prlimit(tid, resource, b, null));
}
const RLIMIT = { core: 4, nproc: 6 } as const;
/** A limit of 0 does not count for core_pattern's programs, one of 1 byte does (core(5), fs/coredump.c). */
const NO_CORE = 1n;
/** proc(5), oom_score_adj: when the host is out of memory, before everything else. */
const OOM_FIRST = 1000;
/** Each nice level is a tenth of a CPU, a weight of 1.25 (kernel/sched/core.c, sched_prio_to_weight). */
const NICE_STEP = 1.25;

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
