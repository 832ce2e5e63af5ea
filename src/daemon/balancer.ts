import { type Log, type NodeId, nodeId, toTeselaError } from "../base/mod.ts";
import {
  balance,
  asTarget,
  type BalanceKnobs,
  type Decision,
  DecisionLog,
  capacity,
  demand,
  forecast,
  Gone,
  Leaving,
  type NodeView,
  type Offer,
  pauseMs,
  type ProcessView,
  Sent,
  Shrinkage,
  usher,
  type UsherKnobs,
  type UsherState,
} from "../balance/mod.ts";
import type { Random } from "../io/mod.ts";
import type { Figure } from "./figures.ts";
import { Setbacks } from "./setbacks.ts";
import type { EngineRow } from "./shapes.ts";
import { Stays } from "./stays.ts";

/** What the balancer sees in one round. */
export interface Scene {
  /** This node, by its own average; `ageMs` since it was sampled. */
  readonly self: NodeView;
  readonly others: readonly NodeView[];
  /** Those that run here: own ones that are under load levelling, and guests. */
  readonly rows: readonly EngineRow[];
  readonly figures: ReadonlyMap<string, Figure>;
  /** Named reasons why a process stays; none: it may move by itself. */
  readonly fixed: (row: EngineRow) => readonly string[];
  readonly allowed: (row: EngineRow, node: NodeId) => boolean;
  readonly job: (row: EngineRow) => "cpu" | "io" | undefined;
  /** What is on its way here: bytes that are still to come, and bytes a second that come now. */
  readonly arriving: { readonly bytes: number; readonly rate: number };
  /** Whether processes may be moved for load; for memory they may always. */
  readonly level: boolean;
}

/** Carries a decision out, if its target takes what is offered. @throws TeselaError; the process then runs where it was */
export type Carry = (row: EngineRow, to: NodeId, offer: Offer) => Promise<void>;

export interface BalancerOptions {
  readonly self: number;
  readonly carry: Carry;
  /** A process has moved: its target may be sent another. */
  readonly moved: () => void;
  readonly random: Random;
  readonly log: Log;
  /** Those that hold in this round. */
  readonly knobs: () => { readonly balance: BalanceKnobs; readonly usher: UsherKnobs };
}

/**
 * One node's own decisions about the processes that run on it: takes a look, asks the policy (src/balance), carries out what it says and
 * remembers what came of it.
 */
export class Balancer {
  private readonly o: BalancerOptions;
  private readonly sent = new Sent();
  private readonly gone = new Gone();
  private readonly setbacks = new Setbacks();
  private readonly stays: Stays;
  readonly decisions = new DecisionLog();
  /** In the last round memory ran short, and nobody could go. */
  isStuck = false;
  private lastDeparture = Number.NEGATIVE_INFINITY;
  /** Moves under way, by process. */
  private readonly moving = new Leaving<string>();
  private readonly shrinkage = new Shrinkage();
  /** Bytes a second by which free memory shrinks, what comes and goes not counted. */
  growth = 0;

  constructor(options: BalancerOptions) {
    this.o = options;
    this.stays = new Stays(options.self);
  }

  /** Whether a process is on its way out. */
  get isMoving(): boolean {
    return this.moving.size > 0;
  }

  /**
   * One round. Moves go on when it returns.
   * @param now milliseconds of a clock that never steps back
   * @returns milliseconds after which the next departure for load may be, when this round had one
   */
  round(scene: Scene, now: number): number | null {
    this.stays.keep(scene.rows, now);
    this.setbacks.tidy(now);
    const processes = scene.rows.filter((r) => !this.moving.has(r.cpid)).map((r) => this.view(scene, r, now));
    const others = scene.others.map((node) => this.sent.added(asTarget(node), now));
    const self = this.left(scene.self, now);
    const common = { self, others, processes, nowMs: now };
    const inFlight = this.moving.targets;
    const { random } = this.o;
    const knobs = this.o.knobs();
    const memory = { ...common, ...this.memory(scene, processes, now), inFlight };
    this.growth = forecast(memory, knobs.usher).growth;
    const forMemory = usher(memory, knobs.usher, random);
    this.decisions.add(forMemory);
    const urgent = forMemory.filter((d) => d.to !== null);
    const seen = { ...scene, self };
    for (const d of urgent) this.begin(seen, d, now);
    this.isStuck = forMemory.length > 0 && urgent.length === 0;
    if (urgent.length > 0 || !scene.level) return null;
    const forLoad = balance({ ...common, lastDepartureMs: this.lastDeparture, inFlight }, knobs.balance, random);
    this.decisions.add(forLoad);
    const leaving = forLoad.filter(({ to }) => to !== null);
    for (const d of leaving) this.begin(seen, d, now);
    return leaving.length > 0 ? pauseMs(self, knobs.balance) : null;
  }

  /** This node without those that have left, or are about to. */
  private left(self: NodeView, now: number): NodeView {
    const without = this.gone.without(self, now);
    return { ...without, load: Math.max(0, without.load - this.moving.tasks / capacity(self)) };
  }

  private memory(
    { self, arriving }: Scene,
    processes: readonly ProcessView[],
    now: number,
  ): Pick<UsherState, "growth" | "departing" | "arriving"> {
    const known = processes.reduce((sum, p) => sum + Math.max(0, p.growth), arriving.rate);
    return { growth: this.shrinkage.look(self.memFree, now, known), departing: this.moving.departing(now), arriving };
  }

  private view(scene: Scene, row: EngineRow, now: number): ProcessView {
    const figure = scene.figures.get(row.cpid);
    const { sinceMs, bounces } = this.stays.of(row.cpid, now);
    const setback = this.setbacks.of(row.cpid, now);
    const job = scene.job(row);
    const cpu = figure?.cpu ?? row.cpu;
    return {
      pid: row.pid,
      home: nodeId(row.home),
      cpu,
      // What it got was among those that have left since, too.
      demand: demand({ cpu }, scene.self),
      cpuMs: row.cpuMs ?? 0,
      rss: row.rss,
      growth: figure?.growth ?? 0,
      calls: figure?.calls ?? 0,
      sinceMoveMs: sinceMs,
      bounces,
      ...(job !== undefined && { job }),
      fixed: [...scene.fixed(row), ...(setback ? [setback] : [])],
      allowed: (node) => scene.allowed(row, node) && !this.setbacks.isClosed(row.cpid, node, now),
    };
  }

  private begin(scene: Scene, decision: Decision, now: number): void {
    const row = scene.rows.find((r) => r.pid === decision.pid && r.home === decision.home);
    const { to } = decision;
    if (!row || to === null) return;
    this.lastDeparture = now;
    const figure = scene.figures.get(row.cpid);
    const growth = Math.max(0, figure?.growth ?? 0);
    // Among many it got but a part of a CPU; where it goes it will want all of one.
    const tasks = Math.max(row.state === "R" ? 1 : 0, figure?.cpu ?? row.cpu);
    this.moving.add(row.cpid, { to, tasks, rss: row.rss, growth, since: now });
    this.o.log.info("moves a process", { pid: row.cpid, to, motive: decision.motive, why: decision.why });
    const { motive, lasts = this.o.knobs().balance.aheadMs / 1000 } = decision;
    const offer = { motive, comesHome: to === row.home, tasks, rss: row.rss, load: scene.self.load, growth, lasts };
    this.o
      .carry(row, to, offer)
      .then(() => {
        const at = performance.now();
        this.sent.add(to, { tasks, rss: row.rss, growth }, at);
        this.gone.add(tasks, at);
        this.o.moved();
        this.setbacks.forget(row.cpid);
      })
      .catch((e: unknown) => {
        const error = toTeselaError(e);
        this.setbacks.note(row.cpid, to, error, performance.now());
        this.o.log.info("a process stays after all", { pid: row.cpid, to, error: error.code, reason: error.message });
      })
      .finally(() => this.moving.delete(row.cpid));
  }
}
