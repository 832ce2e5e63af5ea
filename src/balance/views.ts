import type { NodeId } from "../base/mod.ts";

/** What a node is known to be, by the node that decides: itself or another. */
export interface NodeView {
  readonly id: NodeId;
  /** CPUs it may use; may be a fraction (quota). */
  readonly cpus: number;
  /** Those of them that its tasks get, where others use the same CPUs; all when left out. */
  readonly got?: number;
  /** Others use its CPUs, and no task of its own has shown yet what one gets there: `got` and the load of others are a guess. */
  readonly untried?: boolean;
  /** 10000 is the standard processor. */
  readonly speed: number;
  /** Tasks that want its CPUs, of whomever, for each standard processor: the deciding node's own `local`, others' `told`. */
  readonly load: number;
  /** Bytes. */
  readonly memTotal: number;
  /** Bytes that programs can still get without swapping. */
  readonly memFree: number;
  /** Bytes a second by which that shrinks, those on their way there included; 0 when left out. */
  readonly memGrowth?: number;
  /** Milliseconds since this was so; of the deciding node since its last sample. */
  readonly ageMs: number;
  /** Up, and takes the processes of others: not block, quiet or expelling. */
  readonly accepts: boolean;
  /** Why it does not accept, in a few words, where that is known. */
  readonly closed?: string;
  /** Bytes a second to it, as measured or a default. */
  readonly bandwidth: number;
  readonly rttMs: number;
  /** Part of its CPUs that was in use at its last sample, 0 to 1: tells sooner than `load` that a node has become free. */
  readonly util?: number;
  /** CPU features that glibc chooses by, as bits. */
  readonly cpuFeatures?: number;
  /** Answers, though it may take nobody else's: its own processes may still come home. Like `accepts` when left out. */
  readonly up?: boolean;
  /** The part of `load` that its owner's own work makes: processes at home there that do not move by themselves. 0 when left out. */
  readonly ownLoad?: number;
}

/** A process that runs on the deciding node, at home here or a guest. */
export interface ProcessView {
  /** As its home counts it. */
  readonly pid: number;
  readonly home: NodeId;
  /** Smoothed share in CPUs. */
  readonly cpu: number;
  /** CPU time used so far, milliseconds: its expected remaining life is about as long (Harchol-Balter and Downey, 1996). */
  readonly cpuMs: number;
  /** Resident bytes, and the bytes a second by which they grow. */
  readonly rss: number;
  readonly growth: number;
  /** Calls a second that go home, or would if it were away. */
  readonly calls: number;
  /** Milliseconds since it came to this node; Infinity when it has always been here. */
  readonly sinceMoveMs: number;
  /** Moves in quick succession. */
  readonly bounces: number;
  /** Why it may not move by itself, as words (lock, pinned, stay, a standing refusal): empty when it may. */
  readonly fixed: readonly string[];
  /** What its node list, masks and CPU features say. */
  readonly allowed: (node: NodeId) => boolean;
  /** Tasks of it that run or want to, on the average, where that is known; otherwise worked out from its share. */
  readonly demand?: number;
  /** What it was said to be: a `cpu` job's calls count for nothing; an `io` job stays at home, or goes there, as long as memory allows. */
  readonly job?: "cpu" | "io";
}

/** `command`: by hand. */
export type Motive = "load" | "memory" | "owner" | "home" | "expel" | "command";

/** A node that was weighed for a process. */
export interface Considered {
  readonly node: NodeId;
  /** Seconds that the move would save over the process's expected remaining life; for memory, bytes left free there. */
  readonly gain: number;
  /** Seconds that moving and living there cost. */
  readonly cost: number;
  /** One line with the numbers. */
  readonly verdict: string;
}

/** What was decided about a process, and why. */
export interface Decision {
  readonly pid: number;
  readonly home: NodeId;
  readonly motive: Motive;
  readonly from: NodeId;
  /** Null: it stays, and `why` says why. */
  readonly to: NodeId | null;
  /** One line that a user understands. */
  readonly why: string;
  readonly considered: readonly Considered[];
  readonly atMs: number;
  /** Seconds for which there has to be memory for it there; the usual when left out. */
  readonly lasts?: number;
}

/** What balance() looks at. */
export interface BalanceState {
  readonly self: NodeView;
  readonly others: readonly NodeView[];
  readonly processes: readonly ProcessView[];
  /** By one clock that never runs backwards. */
  readonly nowMs: number;
  readonly lastDepartureMs: number;
  /** Nodes to which a process is on its way, or that have told nothing since one arrived. */
  readonly inFlight: ReadonlySet<NodeId>;
}
