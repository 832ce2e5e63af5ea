import type { LoadEntry } from "../cluster/mod.ts";
import type { ProcessFacts } from "../engine/mod.ts";

/**
 * What goes over the local sockets, and what `--json` prints. Scripts rely on these: append fields, never rename one.
 */

/** A row of `tesela ps`. */
export interface ProcessRow extends ProcessFacts {
  /** Whether it was said to be a CPU job or an I/O job. */
  readonly job?: "cpu" | "io";
  /** The nodes that it may be sent to: `1-4,7`, or `!3` for all but those. */
  readonly mask?: string;
}

/** What whoever started a process says of it; its children inherit that. */
export interface Hints {
  /** A CPU job moves as if its calls cost nothing; an I/O job stays at home as long as memory allows. */
  readonly job?: "cpu" | "io";
  /** How its averages follow: `keep` thousandths of what was still count after so many seconds. As usual when left out: quickly. */
  readonly decay?: "none" | "slow" | "fast" | { readonly seconds: number; readonly keep: number };
  /** As in {@link ProcessRow}. */
  readonly mask?: string;
}

/** What an engine says of a process: as its home, or as the host of another node's guest. */
export interface EngineRow extends ProcessRow {
  readonly role: "home" | "guest";
  /** When it came to be so, in milliseconds of the Unix epoch. */
  readonly since?: number;
  /** CPU time used so far, at home and away, in milliseconds. */
  readonly cpuMs?: number;
  /** Calls made at home for it while it has been where it is. */
  readonly calls?: number;
}

/** A line of `tesela trace`: a call that a process made while it was away. */
export interface TraceLine {
  /** Milliseconds of the Unix epoch. */
  readonly at: number;
  /** Where the process ran. */
  readonly node: number;
  readonly nr: number;
  readonly name: string;
  readonly args: readonly string[];
  /** As strace(1) writes it; `?` where it is not known. */
  readonly result: string;
  /** Who answered: `home`, `engine`, `here` (the kernel where it ran), `back` (it went home to make it there). */
  readonly route: "home" | "engine" | "here" | "back";
  /** Milliseconds in all, and those that home's kernel took. */
  readonly ms: number;
  readonly homeMs: number;
}

/** What is asked for again and again while somebody traces. */
export interface TraceAsk {
  /** As `4711` or `1:4711`. */
  readonly pid: string;
  /** From the answer before; null to begin. */
  readonly session: string | null;
  readonly close?: boolean;
}

export interface Traced {
  readonly session: string;
  readonly lines: readonly TraceLine[];
  /** Calls that came faster than they were asked for. */
  readonly lost: number;
  readonly node: number;
  readonly ended: boolean;
}

/** `removed` and `left`: the node itself, which is no member any more. */
export type NodeState = "up" | "down" | "removed" | "left";

/** A row of `tesela nodes`. */
export interface NodeRow extends LoadEntry {
  readonly id: number;
  readonly name: string;
  readonly address: string;
  readonly state: NodeState;
}

/** GET /status of the engine. */
export interface EngineStatus {
  readonly node: number;
  readonly pid: number;
  readonly version: string;
  readonly processes: number;
  readonly guests: number;
  readonly away: number;
  readonly rss: number;
}

/** GET /links of the engine. */
export interface LinkRow {
  readonly node: number;
  /** A link that is cut may come back. */
  readonly state: "up" | "cut";
  readonly cutMs?: number;
  readonly rttMs?: number;
  readonly sinceMs?: number;
}

/** POST /migrate as the commands send it: texts, as people write them. */
export interface MigrateAsk {
  /** `4711`, or `1:4711`. */
  readonly pid: string;
  /** A node's number or name, or `home`. */
  readonly target: string;
  /** Only say what would stop it. */
  readonly why?: boolean;
  /** Also to a node that its mask does not have. */
  readonly force?: boolean;
}

export interface Migrated {
  readonly pid: number;
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
  readonly freezeMs: number;
  readonly totalMs: number;
  /** Others that came along, since they share its memory; left out when there are none. */
  readonly with?: readonly number[];
}

/** The answer to `why`: nothing stops it when there are no reasons. */
export interface WhyNot {
  readonly pid: number;
  readonly reasons: readonly string[];
  readonly message?: string;
}

/** POST /run: the process `pid` is about to become a program by execve(2). */
export interface RunAsk {
  readonly pid: number;
  /** A node's number or name; null leaves it at home. */
  readonly target: string | null;
  /** How many times it calls execve until it is the program: 1 unless said otherwise. */
  readonly execs?: number;
  /** It, and what descends from it, moves only when told to. */
  readonly lock?: boolean;
  readonly hints?: Hints;
}

/** POST /room: a program wants room before it begins. */
export interface RoomAsk {
  readonly pid: number;
  /** It waits: asks again until it gets a node. */
  readonly queue: boolean;
  /** Bytes that have to be free; 0 for any. */
  readonly memory: number;
  /** One node it has to be: its number, name or address, or `home`. */
  readonly node?: string;
  /** One of these: `1-4,7`. */
  readonly list?: string;
  /** As in {@link ProcessRow}. */
  readonly mask?: string;
  readonly best?: boolean;
  /** Milliseconds that it has waited already. */
  readonly waitedMs: number;
}

export type RoomAnswer =
  | { readonly node: number }
  /** Which in the line it is, from 1, of how many, and why it waits. */
  | { readonly node: null; readonly place: number; readonly waiting: number; readonly why: string };

/** POST /room/here, between nodes: a program of another one wants to begin there; the answer is what that node is now. */
export interface RoomHere {
  /** Why it has no room; null when it has. */
  readonly refusal: string | null;
  /** As it is at this moment, with what is on its way. */
  readonly load?: number;
  readonly memFree?: number;
}

/** POST /offer: a process that another node wants to send here by itself. */
export interface OfferAnswer {
  /** Why it shall not come; null when it may. */
  readonly refusal: string | null;
}

/** POST /best: where a process is best placed now; one that has not begun computes, as far as is known. */
export interface BestAsk {
  /** As `4711` or `1:4711`. */
  readonly pid?: string;
  /** For one that has not begun: the nodes that it may be sent to. */
  readonly mask?: string;
}

/** POST /mask: which nodes a process may be sent to from now on. */
export interface MaskAsk {
  /** As `4711` or `1:4711`. */
  readonly pid: string;
  /** `1-4,7`, or `!3`; null: all. */
  readonly mask: string | null;
}

export interface Masked {
  readonly pid: number;
  readonly mask: string | null;
  /** Where it runs. */
  readonly node: number;
  /** It ran where it may not be any more, and has been brought home. */
  readonly cameHome: boolean;
}

/** POST /ctl. */
export interface ControlAsk {
  /** A flag, `no` before it to take it back; `expel`, `bring`; `level`, `nolevel`; `setspeed`, `setyard`, `setdecay`. */
  readonly verb: string;
  /** Number or name: another one is told. */
  readonly node?: string;
  /** What `setspeed` and `setyard` set; the latter without it: the node's own speed. */
  readonly value?: number;
  /** What `setdecay` sets: seconds, thousandths that slow and fast ones keep. */
  readonly values?: readonly number[];
}

export interface Controlled {
  readonly node: number;
  readonly flags: readonly string[];
  /** Whether processes move by themselves there. */
  readonly level: boolean;
  /** Processes that were moved. */
  readonly moved: readonly string[];
  /** Those that could not be, and why. */
  readonly failed: readonly { readonly cpid: string; readonly reason: string }[];
}

/** POST /why: what the node where a process runs has lately decided about it, the last first. */
export interface WhyMoved {
  readonly cpid: string;
  readonly node: number;
  /** Whether it is one that may move by itself; only its home knows. */
  readonly levelled: boolean;
  /** It moves only when told to. */
  readonly lock?: boolean;
  /** Whether processes move by themselves from the node where it runs. */
  readonly level?: boolean;
  /** Whether that node is told to be quiet (`tesela ctl quiet`): then none do, either. */
  readonly quiet?: boolean;
  /** What was said of it, as in {@link ProcessRow}. */
  readonly mask?: string;
  readonly job?: "cpu" | "io";
  readonly decisions: readonly DecisionRow[];
}

/** A decision of the balancer, with what it was made by. */
export interface DecisionRow {
  readonly pid: number;
  readonly home: number;
  readonly motive: string;
  readonly from: number;
  /** Null: it stays. */
  readonly to: number | null;
  readonly why: string;
  readonly considered: readonly { readonly node: number; readonly gain: number; readonly cost: number; readonly verdict: string }[];
  /** Milliseconds since it was made, the last time of so many in a row. */
  readonly agoMs: number;
  readonly times: number;
}

export interface RunAnswer {
  readonly pid: number;
  readonly target: number | null;
}

/** GET /status of teselad. */
export interface DaemonStatus {
  readonly node: number;
  readonly name: string;
  readonly cluster: string;
  readonly pid: number;
  readonly version: string;
  /** Milliseconds since it started. */
  readonly uptimeMs: number;
  /** Whether processes move by themselves here. */
  readonly level: boolean;
  /** The speed of the standard processor in whose terms the loads of `tesela nodes` are; 10000 unless `setyard` has said otherwise. */
  readonly yard?: number;
  /** How averages of processes with a slow or fast decay follow: after so many seconds so many thousandths of what was count. */
  readonly decay?: { readonly seconds: number; readonly slow: number; readonly fast: number };
  /** What moves are reckoned to cost: bytes a second, milliseconds that a process stands still beside that, and of a call that goes home. */
  readonly tune?: { readonly bandwidth: number; readonly freezeMs: number; readonly callMs: number };
  /** Null while the engine does not answer. */
  readonly engine: EngineStatus | null;
  /** `removed` or `left`: this node is no member any more. */
  readonly standing?: "removed" | "left";
  /** Why another node did not accept this one when it was last asked. */
  readonly refusal?: string;
}
