import type { Log } from "../base/mod.ts";
import type { ForwardPlan } from "../forward/mod.ts";
import type { CpuUsed, Image } from "../image/mod.ts";
import type { Tracees } from "../sys/mod.ts";
import type { Question } from "./ahead.ts";
import type { Shift } from "./clocks.ts";
import type { GroupMemory } from "./group-memory.ts";
import type { Guest } from "./guest.ts";
import type { GuestVdso } from "./guest-vdso.ts";
import type { Guard } from "./sharers.ts";
import type { Written } from "./partial-writes.ts";
import type { PidSpace } from "./pid-space.ts";
import type { Position } from "./read-ahead.ts";
import type { WaitEnd } from "./wait-ends.ts";

/** What a guest says to its home. */
export interface HomeLink {
  /** Counts what has come from home that is not for one process. */
  readonly heard: number;
  /** This node takes one more process. */
  readonly hasRoom: boolean;
  call(guest: Guest, flight: InFlight, sigmask: bigint): void;
  verdict(guest: Guest, seq: number, verdict: Verdict): void;
  /** A signal of the guest's own takes its default action: home dies or stops of it. */
  raise(guest: Guest, signal: number, info: Uint8Array): void;
  /** @param nr of the call for which it comes home */
  back(guest: Guest, reason: string, nr?: number): void;
  exit(guest: Guest, code: number): void;
  lost(guest: Guest, reason: string): void;
  /** Asks home to map a file at `addr` too and to tell what it holds. */
  mapFile(guest: Guest, args: readonly bigint[]): Promise<MappedFile>;
  mirror(guest: Guest, nr: number, args: readonly bigint[]): Promise<bigint>;
  /** Home lets signals in that the thread blocks no more, and takes some back (src/engine/signals-at-home.ts). */
  letIn(guest: Guest, mask: bigint, back: readonly Uint8Array[]): Promise<unknown>;
  /** A signal that home has told of without waiting for an answer is blocked: it stays in home's queue. */
  stay(guest: Guest, info: Uint8Array): void;
  /** A handler waits for the end of the call that home is making for a thread. */
  hurry(guest: Guest): void;
  /** Home makes the child of a guest, which waits there for its own guest. */
  fork(guest: Guest, wanted: { flags: bigint; exitSignal: number }): Promise<Born | { errno: number }>;
  /** Home makes a thread beside a guest's. */
  thread(guest: Guest, flags: bigint): Promise<Started | { errno: number }>;
  /** Home has the thread of a guest end, and tells then to end that too. */
  leave(guest: Guest, code: number): Promise<unknown>;
  /** Takes in the guest that a guest has made: stopped, behind the call that made it. */
  adopt(parent: Guest, child: Birth): Guest;
  born(child: Guest): Promise<void>;
  stillborn(parent: Guest, ticket: number): Promise<void>;
}
/** A child at home: its number and its ticket. */
export interface Born {
  readonly pid: number;
  readonly ticket: number;
}
/** A thread at home: where its deputy takes calls, and that one's descriptor. */
export interface Started extends Born {
  readonly area: bigint;
  readonly fd: number;
}
export interface Birth {
  readonly ticket: number;
  readonly pid: number;
  readonly tid: number;
  /** Its handlers are reset (CLONE_CLEAR_SIGHAND). */
  readonly clearHandlers: boolean;
  /** See set_tid_address(2). */
  readonly clearTid: bigint;
}
export type MappedFile =
  | { readonly kind: "errno"; readonly errno: number }
  | { readonly kind: "back"; readonly reason: string }
  | { readonly kind: "file" /** Sends the descriptor of the content to the guest. */; readonly send: () => void };

/**
 * What home does with a signal that arrived there: `deliver` it (default action), or not, with or without a handler run here;
 * `later` when the guest is being moved: it is asked again wherever the process is then; `stay` when it is blocked, and the process's
 * blocked signals wait at home.
 */
export type Verdict = "deliver" | "handled" | "none" | "later" | "stay";

/** A call that home is making for the guest. */
export interface InFlight {
  readonly seq: number;
  readonly nr: number;
  readonly plan: ForwardPlan;
  /** It goes on with a wait that was interrupted before. */
  readonly resumes: boolean;
  /** It is a further step of a call whose first steps home has made. */
  readonly continues: boolean;
  /** A signal has come whose handler runs once the call is over. */
  handlerWaits: boolean;
  /** It does not wait, for a signal is pending that its own mask lets in. */
  readonly atOnce: boolean;
  /** What home is asked with it. */
  readonly question: Question | null;
}

/** A call that was interrupted while it waited. */
export interface Cut {
  /** Of its `syscall` instruction. */
  readonly rip: bigint;
  readonly nr: number;
  readonly result: bigint;
}

export type GuestState =
  /** Its user code runs. */
  | { readonly kind: "running" }
  /** Stopped in a call that home is making. */
  | { readonly kind: "calling"; readonly flight: InFlight }
  /** Stopped while the engines do something for it together; settles by itself. */
  | { readonly kind: "busy" }
  /** Stopped until home says more: `why` is for the log. */
  | { readonly kind: "waiting"; readonly why: string }
  /** Stopped as its deputy is, by job control. */
  | { readonly kind: "stopped" }
  /** Stopped for good, its registers ready to be carried. */
  | { readonly kind: "frozen" }
  | { readonly kind: "gone" };

/** What a guest keeps of the machine that it is from. */
export interface GuestOrigin {
  /** Names home's clocks: clockName(). */
  readonly clockName: string;
  /** What its time namespace adds to our own clocks; null where home's are ours. */
  readonly shift: Shift | null;
  /** The CPU features that it may be using. */
  readonly cpu: readonly string[];
  /** It uses no others, whatever it finds. */
  readonly portable: boolean;
}

export interface GuestOptions {
  readonly ticket: number;
  readonly home: number;
  readonly image: Image;
  readonly space: PidSpace;
  /** What it shares with others that came with it, or that it has had here. */
  readonly memory: GroupMemory | null;
  /** Its descriptors on that. */
  readonly guard: Guard;
  readonly origin: GuestOrigin;
  readonly vdso: GuestVdso | null;
  /** Of each deputy's buffer. */
  readonly areaSize: number;
  readonly reservedFds: readonly number[];
  readonly trapPending: boolean;
  /** Home's take-over with which it came, see {@link GuestProcess.freeze}; -1 when it was born here, or its home does not count. */
  readonly round: number;
  readonly link: HomeLink;
  readonly tracees: Tracees;
  readonly log: Log;
  /** Keeps its threads by their tickets. */
  register(guest: Guest): void;
  unregister(guest: Guest): void;
}

export interface ThreadOptions {
  readonly ticket: number;
  readonly tid: number;
  readonly homeTid: number;
  readonly areaBase: bigint;
  readonly clearTid: bigint;
  readonly restart: { readonly nr: number } | null;
  readonly written: Written | null;
  readonly waitEnd: WaitEnd | null;
  /** See {@link Ahead.position}. */
  readonly position: Position | null;
  /** See {@link Guest.borne}. */
  readonly borne: bigint;
  /** Away from home, before it came here. */
  readonly cpuUsed: CpuUsed;
}
