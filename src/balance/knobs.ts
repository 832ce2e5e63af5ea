import { KiB, MiB } from "../base/mod.ts";

/** Knobs that say what nodes and moves cost. All of them have defaults that suit a local network. */
export interface CostKnobs {
  /**
   * Knowledge of a node counts for nothing when `ageMs > maxAgeMs`. More: more targets in a large cluster, whose entries travel for
   * O(log n) seconds. Less: fewer moves to nodes that have filled up meanwhile.
   */
  readonly maxAgeMs: number;
  /**
   * Milliseconds that a process stands still beside the copying of its memory: `cost = bytes / bandwidth + freezeMs + ...`. More: short
   * processes stay. Less: processes move that hardly gain.
   */
  readonly freezeMs: number;
  /**
   * Bytes that are kept free on every node: `lowMark = clamp(memTotal * lowMarkShare, lowMarkMin, lowMarkMax)`. More: page cache and
   * sudden growth find room, less memory for programs.
   */
  readonly lowMarkShare: number;
  readonly lowMarkMin: number;
  readonly lowMarkMax: number;
  /**
   * A target has to hold the process as it will be in so many milliseconds, `rss + growth * aheadMs`: otherwise it would be carried on at once.
   */
  readonly aheadMs: number;
  /**
   * Targets that differ by less than this part of the best count as equal, and chance picks one. More: senders that decide at the same
   * moment spread better. Less: the best target is taken more often.
   */
  readonly nearEqual: number;
  /** Nodes that a decision keeps with their numbers, the best first. 0 for a simulator that looks at none of them. */
  readonly explain: number;
  /**
   * A node's owner works there when `ownLoad >= ownerLoad`: guests that would have to share the CPUs with the owner's work go, and are not
   * sent. More: guests stay longer, and the owner notices them.
   */
  readonly ownerLoad: number;
}

/** Knobs of balance(). */
export interface BalanceKnobs extends CostKnobs {
  /**
   * A round does nothing unless `max(load, runnable / cpus) > overload`. Less: processes wander for small gains. More: a node that is
   * slightly too full stays so.
   */
  readonly overload: number;
  /** MOSIX's guard, `told(remote) + guard * brings < local`: 1 is break-even. More: steadier; less: nearer to the mean, and ping-pong. */
  readonly guard: number;
  /**
   * A move must bring `gain > payback * cost`, both in seconds of the process's expected remaining life. More: fewer moves and less lost
   * when a process ends early. Less: sooner spread.
   */
  readonly payback: number;
  /**
   * A process that came `t` ago may go on when `t >= minStayMs * 2^min(bounces, maxBounces)`. More: less ping-pong; less: faster answers to change.
   */
  readonly minStayMs: number;
  readonly maxBounces: number;
  /** A move on is a bounce when it comes within `quick` times the minimum stay. More: wanderers are held sooner, and for longer. */
  readonly quick: number;
  /**
   * Milliseconds between departures from a node, so that the effect of one is seen before the next: `departurePauseMs / max(1, runnable / cpus)`. MOSIX
   * has 2 s; with what is on its way counted, one in each round of a second spreads twice as fast, and nothing goes to and fro. More: steadier; less: a
   * node where much begins at once is sooner rid of it.
   */
  readonly departurePauseMs: number;
  /** A guest goes home to an idle node when `bytes / bandwidth + freezeMs < homeCost * remaining life`. More: hosts are rid of guests sooner, who lose time. */
  readonly homeCost: number;
  /** A guest that gains nothing by it goes home when it has been here for so long. More: fewer moves to and fro; less: hosts are free sooner. */
  readonly homeAfterMs: number;
  /** A node is idle, and its guests elsewhere go home to it, when `told <= idleLoad`. More: they go home sooner, to less. */
  readonly idleLoad: number;
}

/** Knobs of usher(). */
export interface UsherKnobs extends CostKnobs {
  /**
   * It acts when free memory will cross the low mark within `bytes / bandwidth + freezeMs + marginMs`: the time it takes to carry a process away,
   * and this. More: safer against bursts, and moves for growth that would have ended. At least twice the interval of the samples.
   */
  readonly marginMs: number;
  /**
   * A process that grows moves where there is room for `worthwhile` times as long as here. More: it is not carried from one node to the next as
   * full, each of which it would fill. Less: memory of many nodes is used to the last.
   */
  readonly worthwhile: number;
  /**
   * A process that came `t` ago is left alone while `t < settleMs`: how it grows is not known yet, and memory that came with it is taken for
   * growth of the node. More: a wrong guess is not undone so soon. Less: one that goes on growing is met sooner.
   */
  readonly settleMs: number;
  /** Costs of guests count this much: below 1, guests go before the owner's own processes. */
  readonly guestCost: number;
  /** Growth below so many bytes a second is noise, unless memory is below the low mark already. */
  readonly noise: number;
  /**
   * Signs of shortage count where `free < lowMark * signsBelow`, for pages come back from swap long after a shortage is over: then more than
   * `swapIn` bytes a second, or tasks that stand still for want of memory for more than `pressure` of the time, mean that it is high time. Less of
   * either: it acts sooner on memory that merely is in use.
   */
  readonly signsBelow: number;
  readonly swapIn: number;
  readonly pressure: number;
}

/** Knobs of place(). */
export interface PlaceKnobs extends CostKnobs {
  /** A program begins elsewhere when it would run `1 + placeGain` times as fast there. More: fewer programs are sent. */
  readonly placeGain: number;
}

const COST: CostKnobs = {
  maxAgeMs: 30_000,
  freezeMs: 50,
  lowMarkShare: 0.05,
  lowMarkMin: 32 * MiB,
  lowMarkMax: 1024 * MiB,
  aheadMs: 5000,
  nearEqual: 0.1,
  explain: 4,
  ownerLoad: 0.5,
};

export const BALANCE_KNOBS: BalanceKnobs = {
  ...COST,
  overload: 1.1,
  guard: 1.3,
  payback: 1.25,
  minStayMs: 5000,
  maxBounces: 6,
  quick: 6,
  departurePauseMs: 900,
  homeCost: 0.1,
  homeAfterMs: 60_000,
  idleLoad: 0.25,
};

export const USHER_KNOBS: UsherKnobs = {
  ...COST,
  marginMs: 1500,
  worthwhile: 1.25,
  guestCost: 0.5,
  settleMs: 2000,
  noise: 4 * MiB,
  signsBelow: 4,
  swapIn: 256 * KiB,
  pressure: 0.1,
};

export const PLACE_KNOBS: PlaceKnobs = { ...COST, placeGain: 0.2 };
