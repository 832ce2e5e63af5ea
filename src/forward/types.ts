/**
 * What turning a guest's call into the deputy's needs and gives. The pieces:
 * a {@link GuestMemory} to fetch arguments from, the {@link DeputyArea} they are laid out in, and a {@link Plan} that says what to do.
 */

/** Thrown by a {@link GuestMemory} where the program has no such memory. */
export class Fault extends Error {
  override readonly name = "Fault";
  readonly address: bigint;
  constructor(address: bigint) {
    super(`no memory at 0x${address.toString(16)}`);
    this.address = address;
  }
}

/** The program's memory, wherever it is now. */
export interface GuestMemory {
  /** All `length` bytes. @throws Fault */
  read(address: bigint, length: number): Buffer;
  /** The bytes before the first that cannot be read: none, some or all. */
  readUpTo(address: bigint, length: number): Buffer;
  /** @throws Fault */
  write(address: bigint, bytes: Uint8Array): void;
  /** Whether all of it could be written now. Where it is missing, a bad address shows only when the answer is written. */
  writable?(address: bigint, length: number): boolean;
}

/** The buffer of one deputy thread, at its address at home: page-aligned (direct I/O asks for it), at least MIN_AREA bytes. */
export interface DeputyArea {
  readonly base: bigint;
  readonly size: number;
}

/** Paths, a socket address and a full extended attribute fit beside each other. */
export const MIN_AREA = 128 * 1024;

/** What is known of the calling thread without asking home. */
export interface CallContext {
  /** As the program sees them at home. */
  readonly pid: number;
  readonly tid: number;
  /** The deputy's own descriptors: to the program they look closed. */
  readonly reservedFds: readonly number[];
  /** Calls that wait for descriptors with a mask of their own only look: a signal ends the wait as it begins. */
  readonly atOnce?: boolean;
  /** CPU time of the process (`self`) or the thread used away from home, in nanoseconds: added to what home knows. */
  cpuAway?(who: "self" | "thread"): { readonly user: bigint; readonly system: bigint };
}

/**
 * A range of the area that travels back after the call. A call that failed (negative result) sends only ranges with `onError`.
 * `limit: "return"`: of all such ranges together only the first `result * unit` bytes (never more than they have).
 */
export interface OutRange {
  readonly offset: number;
  readonly length: number;
  readonly limit?: "return";
  readonly unit?: number;
  readonly onError?: boolean;
}

/** Where the time limit of a call stands, so that a call that starts again after a move waits only for the rest. */
export type Timeout = {
  readonly kind: "ms" | "timespec" | "timeval";
  /** False: an absolute time of the call's clock, which needs no care. */
  readonly relative: boolean;
} & ({ readonly argIndex: number } | { readonly areaOffset: number });

export type FinishResult = { readonly done: bigint } | { readonly again: Plan };

/**
 * Takes the deputy's result and the bytes of its out ranges (see {@link outLengths}), writes the program's memory, and says what
 * the program's call returns, or what to do next. The engine calls it with every result, the interrupted ones (-512 to -516) too:
 * such a value as `done` means that the call did not end and the usual rules of restarting apply.
 */
export type Finish = (result: bigint, outBytes: Uint8Array, mem: GuestMemory) => FinishResult;

/** One system call of the deputy. */
export interface ForwardPlan {
  readonly kind: "forward";
  readonly nr: number;
  /** Six; pointers are addresses in the deputy already. */
  readonly args: bigint[];
  /** Placed at the area's base before the call. */
  readonly blob: Uint8Array;
  readonly outs: readonly OutRange[];
  readonly finish: Finish;
  /** It may wait for something other than a disk. */
  readonly blocking: boolean;
  /** Linux ends this call with EINTR also when no handler ran: start it again then. */
  readonly restartOnEintr: boolean;
  readonly timeout?: Timeout;
  /** Mask to wait with, at the guest: its address there and its value. The deputy gets none. */
  readonly sigmaskPtr?: bigint;
  readonly sigmask?: bigint;
}

export type Plan =
  | ForwardPlan
  /** The engine beside the guest knows the result. */
  | { readonly kind: "answer"; readonly result: bigint }
  /** The guest's own kernel does it. */
  | { readonly kind: "local" }
  /** Bring the process home, repeat the call there. */
  | { readonly kind: "back"; readonly reason: string }
  /** The engine's own handler of that name does it. */
  | { readonly kind: "engine"; readonly name: string };

export type Planner = (args: readonly bigint[], mem: GuestMemory, area: DeputyArea, ctx: CallContext) => Plan;
