import { setPriority } from "node:os";
import { CLONE } from "../abi/mod.ts";
import { assert, TeselaError } from "../base/mod.ts";
import {
  advise,
  fitXstate,
  type Image,
  mapArea,
  MM_FIELDS,
  type Mm,
  type PageChunk,
  PageWriter,
  type RawCall,
  type SharedObject,
  SIGACTION_BYTES,
  SIGNALS,
  SKELETON_BASE,
  SKELETON_END,
  type ThreadImage,
  touches,
  type Vma,
} from "../image/mod.ts";
import { libc, ptrace, type RawLimit, Regs, type Tracees } from "../sys/mod.ts";
import { register } from "./barriers.ts";
import { FDS_PER_MESSAGE, type FileCache, receiveBlock } from "./file-cache.ts";
import { guestFilter } from "./filter.ts";
import { queueSignal } from "./guest-inject.ts";
import type { GroupMemory } from "./group-memory.ts";
import type { GuestOrigin } from "./guest-types.ts";
import { type GuestVdso, mapVdso } from "./guest-vdso.ts";
import { nativeClone } from "./native-clone.ts";
import { Sys } from "./numbers.ts";
import type { PidSpace } from "./pid-space.ts";
import { place, runList, SKELETON_ARGS } from "./skeleton.ts";
import { canBecomeNobody, GUEST_NAME, GUEST_SOCKET, GUEST_UID, type Zygote } from "./zygote.ts";

const PR_SET_KEEPCAPS = 8;
const PR_SET_NAME = 15;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_SET_MM = 35;
const PR_SET_MM_MAP = 14;
const SECCOMP_SET_MODE_FILTER = 1;
const MSG_CMSG_CLOEXEC = 0x40000000;
const UINT_MAX = 0xffffffff;
const PROT_WRITE = 2;
const RLIMIT = { data: 2, stack: 3, as: 9 } as const;
/** A stack is mapped to its limit, at most this: the kernel does not grow it for other processes' writes. */
export const MAX_STACK = 64n << 20n;
/** The kernel keeps 256 pages free below a growing stack (stack_guard_gap); twice that is enough. */
const STACK_GAP = 2n << 20n;
const DEFAULT_STACK = 8n << 20n;

/** Offsets in the skeleton's argument pages while it is set up. */
const Args = { receive: 0, name: 0x200, mm: 0x300, altStack: 0x400, filterHead: 0x500, filter: 0x600, actions: 0x1000 } as const;

export interface BuildOptions {
  readonly image: Image;
  readonly huge: readonly { start: bigint; end: bigint }[];
  readonly origin: GuestOrigin;
  /** Of those that come together. */
  readonly memory: GroupMemory | null;
  /** Names the vdso that this node has. */
  readonly vdso: string | null;
}

/**
 * A guest in the making: a skeleton that gets the areas of an image, then its pages, then everything else of a process.
 * Disposed before {@link finish}, it is killed and nothing of it stays.
 */
export class GuestBuild implements Disposable {
  readonly tid: number;
  readonly image: Image;
  readonly space: PidSpace;
  readonly origin: GuestOrigin;
  readonly memory: GroupMemory | null;
  /** Its threads on this node, by their numbers at home. */
  readonly tids = new Map<number, number>();
  vdso: GuestVdso | null = null;
  private readonly tracees: Tracees;
  private readonly pages: PageWriter;
  private finished = false;

  private constructor(space: PidSpace, { image, origin, memory }: BuildOptions, tracees: Tracees) {
    this.space = space;
    this.tid = space.spawn(image.pid);
    this.memory = memory;
    memory?.join();
    this.image = image;
    this.origin = origin;
    this.tracees = tracees;
    this.pages = new PageWriter(
      this.tid,
      image.vmas.filter((v) => (v.prot & PROT_WRITE) === 0),
    );
  }

  /** @throws TeselaError E_REFUSED, E_NOMEM; SysError */
  static start(tracees: Tracees, zygote: Zygote, cache: FileCache, options: BuildOptions): GuestBuild {
    const { image } = options;
    const vmas = image.vmas.map((v) => (v.growsDown ? stretchStack(v, image) : v));
    // Below is where null pointers point, the kernel's own too: what vm.mmap_min_addr keeps from the host's users is not for guests.
    if (vmas.some((v) => v.start < SKELETON_END) || image.mm.startBrk < SKELETON_END)
      throw new TeselaError("E_CANTMOVE", "the program uses the lowest addresses", { reasons: ["low_address"] });
    const { origin, memory } = options;
    const space = memory?.place?.space ?? zygote.space(origin.shift);
    const build = new GuestBuild(space, options, tracees);
    if (memory) memory.place ??= { space, shift: origin.shift };
    try {
      if (image.vdso) build.vdso = mapVdso(tracees, build.tid, image.vdso, vmas, options.vdso, cache);
      build.mapAreas(vmas, zygote, cache);
      build.mapShared(vmas, zygote);
      const advice = vmas.flatMap((v) => advise(v, 0, v.advice ?? 0));
      if (advice.length > 0) runList(tracees, build.tid, advice);
      build.pages.expect(options.huge);
      return build;
    } catch (e) {
      build[Symbol.dispose]();
      throw e;
    }
  }

  private mapAreas(vmas: readonly Vma[], zygote: Zygote, cache: FileCache): void {
    const hashes = [...new Set(vmas.flatMap((v) => (v.backing.kind === "file" ? [v.backing.hash] : [])))];
    for (let from = 0; from < hashes.length; from += FDS_PER_MESSAGE) {
      const part = hashes.slice(from, from + FDS_PER_MESSAGE);
      zygote.send(part.map((h) => cache.fd(h)));
      // The skeleton's table holds its socket alone, so descriptors arrive as 1, 2, 3, ... in the order they are sent.
      const fdOf = new Map(part.map((h, i) => [h, GUEST_SOCKET + 1 + i]));
      const at = place(this.tid, Args.receive, receiveBlock(SKELETON_ARGS + BigInt(Args.receive)));
      const mine = vmas.filter((v) => v.backing.kind === "file" && fdOf.has(v.backing.hash));
      runList(this.tracees, this.tid, [
        { nr: Sys.recvmsg, args: [GUEST_SOCKET, at, MSG_CMSG_CLOEXEC] },
        ...mine.map((v) => mapArea(v, v.backing.kind === "file" ? (fdOf.get(v.backing.hash) ?? null) : null, true)),
        { nr: Sys.closeRange, args: [GUEST_SOCKET + 1, UINT_MAX, 0] },
      ]);
    }
    const anonymous = vmas.filter((v) => v.backing.kind === "anon");
    runList(
      this.tracees,
      this.tid,
      anonymous.map((v) => mapArea(v, null, true)),
    );
  }

  /** @throws TeselaError E_PROTOCOL */
  private mapShared(vmas: readonly Vma[], zygote: Zygote): void {
    for (const object of this.image.objects) {
      for (const writable of [true, false]) {
        const mine = vmas.filter(({ backing: b }) => b.kind === "shared" && b.object === object.name && b.writable === writable);
        if (mine.length > 0) this.withDescriptor(zygote, this.shared(object, writable), (fd) => mine.map((v) => mapArea(v, fd, true)));
      }
    }
  }

  private shared(object: SharedObject, writable: boolean): number {
    if (!this.memory) throw new TeselaError("E_PROTOCOL", "a process that came alone shares memory");
    return this.memory.open(object, writable);
  }

  /** Makes calls that need a descriptor, which is given up. */
  private withDescriptor(zygote: Zygote, fd: number, calls: (fd: number) => RawCall[]): void {
    try {
      zygote.send([fd]);
    } finally {
      libc.close(fd);
    }
    const at = place(this.tid, Args.receive, receiveBlock(SKELETON_ARGS + BigInt(Args.receive)));
    runList(this.tracees, this.tid, [
      { nr: Sys.recvmsg, args: [GUEST_SOCKET, at, MSG_CMSG_CLOEXEC] },
      ...calls(GUEST_SOCKET + 1),
      { nr: Sys.closeRange, args: [GUEST_SOCKET + 1, UINT_MAX, 0] },
    ]);
  }

  /** @throws SysError ENOMEM, EFAULT when the node cannot hold the pages */
  write(chunk: PageChunk): void {
    // The skeleton's code runs with our rights until the guest is locked in.
    assert(!touches(chunk, SKELETON_BASE, SKELETON_END), "pages come for the program's own areas");
    this.pages.write(chunk);
  }

  /** Everything that is not memory; afterwards the guest only waits to be continued. */
  finish(): void {
    const { image, tid } = this;
    const [thread, ...others] = leaderFirst(image);
    setLimits(tid, image.limits);
    setNice(tid, image.nice);
    runList(this.tracees, tid, [
      { nr: Sys.prctl, args: [PR_SET_MM, PR_SET_MM_MAP, place(tid, Args.mm, mmMap(image.mm)), MM_MAP_BYTES, 0] },
      { nr: Sys.prctl, args: [PR_SET_NAME, place(tid, Args.name, Buffer.from(`${GUEST_NAME}\0`))] },
      ...sigactionCalls(tid, image),
      ...threadCalls(tid, thread),
    ]);
    // While there is one thread the kernel need not wait for others. A kind that this one lacks the program may lack as well.
    runList(this.tracees, tid, register(image.barriers), true);
    ptrace.setSigmask(tid, ALL_BUT_TRAP);
    this.lockIn();
    this.tids.set(thread.tid, tid);
    // Locked in as the first one is, whose rights and filter they inherit.
    for (const other of others) this.start(other);
    for (const t of [thread, ...others]) this.ready(t);
    this.queue(thread, image.pending, false);
    this.pages[Symbol.dispose]();
    this.finished = true;
  }

  private start(thread: ThreadImage): void {
    const { tracees, tid } = this;
    const wanted = { flags: THREAD_FLAGS, tid: thread.tid, childTid: thread.clearTid, parentTid: 0n };
    const here = nativeClone({ tid, tracees }, wanted);
    this.tids.set(thread.tid, here);
    ptrace.setSigmask(here, ALL_BUT_TRAP);
    runList(tracees, here, threadCalls(here, { ...thread, clearTid: 0n }));
  }

  private ready(thread: ThreadImage): void {
    const tid = this.tids.get(thread.tid) ?? this.tid;
    this.queue(thread, thread.pending, true);
    ptrace.setXstate(tid, fitXstate(thread.xstate, ptrace.getXstate(tid)));
    ptrace.setRegs(tid, Regs.from(thread.regs).bytes);
    ptrace.setSigmask(tid, thread.sigmask);
  }

  private queue(thread: ThreadImage, infos: readonly Uint8Array[], own: boolean): void {
    const tid = this.tids.get(thread.tid) ?? this.tid;
    const self = { tid, pid: this.image.pid, homeTid: thread.tid, tracees: this.tracees, trapPending: true };
    // Where they wait at home, those that are blocked go there first: see Hosting.
    if (!this.image.signalsAtHome) for (const info of infos) queueSignal(self, info, own);
  }

  /** Gives up what is left of the host's rights. */
  private lockIn(): void {
    const filter = guestFilter({ shares: this.memory !== null, signalsAtHome: this.image.signalsAtHome });
    const head = Buffer.alloc(16);
    head.writeUInt16LE(filter.length / 8, 0);
    head.writeBigUInt64LE(place(this.tid, Args.filter, filter), 8);
    const nobody: RawCall[] = canBecomeNobody()
      ? [
          { nr: Sys.setgroups, args: [0, 0] },
          { nr: Sys.setresgid, args: [GUEST_UID, GUEST_UID, GUEST_UID] },
          { nr: Sys.setresuid, args: [GUEST_UID, GUEST_UID, GUEST_UID] },
        ]
      : [];
    const [capHead, capSets] = onlyCheckpointRestore();
    runList(this.tracees, this.tid, [
      { nr: Sys.prctl, args: [PR_SET_KEEPCAPS, 1, 0, 0, 0] },
      ...nobody,
      { nr: Sys.capset, args: [place(this.tid, Args.mm, capHead), place(this.tid, Args.mm + capHead.length, capSets)] },
      { nr: Sys.prctl, args: [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0] },
      { nr: Sys.seccomp, args: [SECCOMP_SET_MODE_FILTER, 0, place(this.tid, Args.filterHead, head)] },
    ]);
  }

  /** Ends it, finished or not. */
  kill(): void {
    this.pages[Symbol.dispose]();
    libc.kill(this.tid, 9);
    this.space.leave();
    this.memory?.leave();
    this.tracees.claim(this.tid, (s) => {
      if (s.kind === "exited" || s.kind === "killed") this.tracees.release(this.tid);
    });
  }

  [Symbol.dispose](): void {
    if (!this.finished) this.kill();
  }
}

/** @throws TeselaError E_PROTOCOL */
function leaderFirst(image: Image): [ThreadImage, ...ThreadImage[]] {
  const leader = image.threads.find((t) => t.tid === image.pid);
  const numbers = new Set(image.threads.map((t) => t.tid));
  if (!leader || numbers.size !== image.threads.length) throw new TeselaError("E_PROTOCOL", "an image whose threads do not add up");
  return [leader, ...image.threads.filter((t) => t !== leader)];
}
/** What threads of a process have in common on the way home's kernel made them, or in no way that matters here. */
const THREAD_FLAGS = BigInt(CLONE.VM | CLONE.FS | CLONE.FILES | CLONE.SIGHAND | CLONE.THREAD | CLONE.SYSVSEM | CLONE.CHILD_CLEARTID);

export const SIGTRAP = 5;
/** All but SIGTRAP: a blocked one would lose its disposition at the skeleton's int3 (kernel/signal.c, force_sig_info_to_task). */
export const ALL_BUT_TRAP = 0xffff_ffff_ffff_ffefn;
export const signalOf = (siginfo: Uint8Array): number => Buffer.from(siginfo.buffer, siginfo.byteOffset, 4).readInt32LE(0);

function stretchStack(vma: Vma, image: Image): Vma {
  const soft = image.limits.stack[0];
  const size = soft > MAX_STACK ? (soft === UNLIMITED ? DEFAULT_STACK : MAX_STACK) : soft;
  const below = image.vmas.reduce((top, v) => (v.end <= vma.start && v.end > top ? v.end : top), 0n);
  const lowest = (vma.end - size) & ~0xfffn;
  const start = lowest > below + STACK_GAP ? lowest : below + STACK_GAP;
  return { ...vma, start: start < vma.start ? start : vma.start };
}
const UNLIMITED = 0xffff_ffff_ffff_ffffn;

const MM_MAP_BYTES = 104;
/** struct prctl_mm_map. Arguments and environment stay at home: the host's users must not read them here. */
function mmMap(mm: Mm): Buffer {
  const b = Buffer.alloc(MM_MAP_BYTES);
  const hidden: ReadonlySet<string> = new Set(["argStart", "argEnd", "envStart", "envEnd"]);
  MM_FIELDS.forEach((field, i) => {
    b.writeBigUInt64LE(hidden.has(field) ? SKELETON_ARGS + BigInt(Args.name) : mm[field], 8 * i);
  });
  b.writeInt32LE(-1, 100);
  return b;
}

/** Where a limit may not be raised (no CAP_SYS_RESOURCE), as far as this node allows. */
function setLimits(tid: number, limits: Image["limits"]): void {
  const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);
  const set = (resource: number, [soft, hard]: RawLimit): void => {
    const b = Buffer.alloc(16);
    libc.must("prlimit", libc.prlimit(tid, resource, null, b));
    const ceiling = b.readBigUInt64LE(8);
    b.writeBigUInt64LE(least(soft, ceiling), 0);
    b.writeBigUInt64LE(least(hard, ceiling), 8);
    libc.must("prlimit", libc.prlimit(tid, resource, b, null));
  };
  for (const name of ["stack", "data", "as"] as const) set(RLIMIT[name], limits[name]);
}

/** A favoured program is not favoured over the host owner's: negative values count as 0. */
function setNice(tid: number, nice: number): void {
  setPriority(tid, Math.max(0, nice));
}

function sigactionCalls(tid: number, image: Image): RawCall[] {
  const actions = Buffer.from(image.sigactions);
  const at = place(tid, Args.actions, actions);
  const calls: RawCall[] = [];
  for (let i = 0; i < SIGNALS; i++) {
    const one = actions.subarray(i * SIGACTION_BYTES, (i + 1) * SIGACTION_BYTES);
    const unchangeable = i + 1 === 9 || i + 1 === 19;
    // SIGCHLD differs from the zygote's even when it is the default.
    if (unchangeable || (one.every((b) => b === 0) && i + 1 !== 17)) continue;
    calls.push({ nr: Sys.rtSigaction, args: [i + 1, at + BigInt(i * SIGACTION_BYTES), 0, 8] });
  }
  return calls;
}

function threadCalls(tid: number, thread: ThreadImage): RawCall[] {
  const stack = Buffer.alloc(24);
  stack.writeBigUInt64LE(thread.altStack.sp, 0);
  stack.writeInt32LE(thread.altStack.flags & ~SS_ONSTACK, 8);
  stack.writeBigUInt64LE(thread.altStack.size, 16);
  const calls: RawCall[] = [{ nr: Sys.sigaltstack, args: [place(tid, Args.altStack, stack), 0] }];
  if (thread.robustList !== 0n) calls.push({ nr: Sys.setRobustList, args: [thread.robustList, ROBUST_HEAD_BYTES] });
  if (thread.clearTid !== 0n) calls.push({ nr: Sys.setTidAddress, args: [thread.clearTid] });
  if (thread.rseq) calls.push({ nr: Sys.rseq, args: [thread.rseq.pointer, thread.rseq.size, 0, thread.rseq.signature] });
  return calls;
}
const SS_ONSTACK = 1;

const CAPABILITY_VERSION_3 = 0x20080522;
const CAP_CHECKPOINT_RESTORE = 40;
/**
 * capset(2)'s header and sets that give up every capability but the one that lets clone3(2) choose TIDs: threads that the
 * guest starts get the TIDs that they have at home. Nothing else that it allows passes the filter.
 */
function onlyCheckpointRestore(): [Buffer, Buffer] {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(CAPABILITY_VERSION_3, 0);
  const sets = Buffer.alloc(24);
  const high = 12;
  for (const set of [0, 4]) sets.writeUInt32LE(1 << (CAP_CHECKPOINT_RESTORE - 32), high + set);
  return [head, sets];
}
const ROBUST_HEAD_BYTES = 24;
