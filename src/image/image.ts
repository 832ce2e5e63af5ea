import type { RseqConfiguration } from "./rseq.ts";
import type { AltStack } from "./sigframe.ts";

/** What a process is made of besides its pages. All of it travels in one CBOR head; bigints are addresses or words. */

/** Where an area's clean pages come from. */
export type Backing =
  | { readonly kind: "anon" }
  | { readonly kind: "file"; readonly hash: string; readonly offset: bigint }
  /** Memory that it may share with others which are carried along; `writable`: it may be made so by mprotect(2). */
  | { readonly kind: "shared"; readonly object: string; readonly offset: bigint; readonly writable: boolean };

/** Memory that processes share, by the name that its home has given it. */
export interface SharedObject {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
}

export interface Vma {
  readonly start: bigint;
  readonly end: bigint;
  /** PROT_* bits. */
  readonly prot: number;
  /** A stack that grows down on faults (MAP_GROWSDOWN). */
  readonly growsDown: boolean;
  readonly backing: Backing;
  /** See {@link adviceOf}; none when left out. */
  readonly advice?: number;
  /** At home: a shared mapping of a file that nobody can write, carried as a private copy. Not part of what travels. */
  readonly shared?: boolean;
}

export interface ThreadImage {
  /** Its TID at home. */
  readonly tid: number;
  readonly regs: Uint8Array;
  readonly xstate: Uint8Array;
  readonly sigmask: bigint;
  readonly altStack: AltStack;
  readonly robustList: bigint;
  readonly clearTid: bigint;
  readonly rseq: RseqConfiguration | null;
  /** Pending for this thread alone, as siginfo_t, oldest first. */
  readonly pending: readonly Uint8Array[];
  /**
   * The call it was in when it was frozen and that only home's kernel can finish: the deputy runs restart_syscall(2)
   * for it, and the result counts as the result of `nr`.
   */
  readonly restart: { readonly nr: number } | null;
  /** It stands before a write of which so much is written. */
  readonly written: { readonly nr: number; readonly rip: bigint; readonly done: bigint } | null;
  /**
   * It stands before a call that waits for so long, or in it, and this is when that is over: nanoseconds of CLOCK_MONOTONIC as the program
   * reads it. `rip`: of the call's instruction.
   */
  readonly waitEnd: { readonly nr: number; readonly rip: bigint; readonly end: bigint } | null;
  /** It has read so far in a file of its, and home's descriptor is behind. */
  readonly position: { readonly fd: number; readonly at: bigint } | null;
  /** CPU time used away from home so far, in microseconds of user and system time. */
  readonly cpuUsed: CpuUsed;
}

export interface CpuUsed {
  readonly user: number;
  readonly system: number;
}

/** The addresses of struct prctl_mm_map (prctl(2), PR_SET_MM_MAP), in its order up to the auxiliary vector. */
export const MM_FIELDS = [
  "startCode",
  "endCode",
  "startData",
  "endData",
  "startBrk",
  "brk",
  "startStack",
  "argStart",
  "argEnd",
  "envStart",
  "envEnd",
] as const;
export type Mm = { readonly [K in (typeof MM_FIELDS)[number]]: bigint };

export interface VdsoArea {
  /** vvar and vdso lie together; the vdso comes last, and ends at `end`. */
  readonly start: bigint;
  readonly end: bigint;
  /** The sha256 of the vdso. */
  readonly hash: string;
  /** What its getrandom says of the states that programs keep for it: struct vgetrandom_opaque_params. */
  readonly random: Uint8Array | null;
}

export interface Image {
  /** Its PID at home. */
  readonly pid: number;
  readonly vmas: readonly Vma[];
  /** What its shared areas show. */
  readonly objects: readonly SharedObject[];
  /** Home's vdso. Its content travels as that of a mapped file, where the kernel has another one. */
  readonly vdso: VdsoArea | null;
  readonly mm: Mm;
  /** struct kernel_sigaction for signals 1 to 64, 32 bytes each. */
  readonly sigactions: Uint8Array;
  /** Pending for the process, as siginfo_t, oldest first. Home's own queue stays at home and is not in here. */
  readonly pending: readonly Uint8Array[];
  readonly threads: readonly ThreadImage[];
  /** It has descriptors that read its signals (signalfd(2)): what its threads block waits in home's queues, wherever it runs. */
  readonly signalsAtHome: boolean;
  /** Limits that act where the memory is: [soft, hard] of RLIMIT_STACK, RLIMIT_DATA, RLIMIT_AS. */
  readonly limits: Readonly<Record<"stack" | "data" | "as", readonly [bigint, bigint]>>;
  /** CPU used away from home so far, in microseconds of user and system time. */
  readonly cpuUsed: CpuUsed;
  /** What its clocks showed when it had been frozen: it has seen nothing later. Nanoseconds. */
  readonly clocks: { readonly monotonic: bigint; readonly boot: bigint };
  /** The kinds of membarrier(2) that its memory is registered for: bits of MEMBARRIER_CMD_GET_REGISTRATIONS. */
  readonly barriers: number;
  /** Its nice value at home, -20 to 19. */
  readonly nice: number;
  /** Ids that the guest's node answers from: real, effective and saved ids as the program sees them. */
  readonly ids: { readonly uid: number; readonly euid: number; readonly gid: number; readonly egid: number };
}

export const SIGNALS = 64;
export const SIGACTION_BYTES = 32;
