import {
  Admission,
  asTarget,
  balance,
  brings,
  forecast,
  type Decision,
  Gone,
  Leaving,
  lookAgainMs,
  lowMark,
  pauseMs,
  type NodeView,
  type Offer,
  Ours,
  place,
  type ProcessView,
  Sent,
  Shrinkage,
  usher,
  type UsherState,
} from "../balance/mod.ts";
import { type NodeId, nodeId } from "../base/mod.ts";
import type { LoadEntry } from "../cluster/mod.ts";
import type { Random, Timer } from "../io/mod.ts";
import { alone, type Competition, localLoad, RivalMeter, smoothShare, STANDARD_SPEED, toldLoad } from "../load/mod.ts";
import type { Knowledge, Known } from "./knowledge.ts";
import type { Machine } from "./machine.ts";
import { Placed } from "./placed.ts";
import type { Task } from "./task.ts";
import type { Job } from "./workload.ts";
import type { World } from "./world.ts";

export const ROUND_MS = 1000;
/** A node that has refused is asked again after so long, and one that came back so soon has bounced: as the daemon has both. */
const CLOSED_MS = 5000;
const QUICK_MS = 60_000;
/** Who is refused asks another at once, so often. */
const TRIES = 3;

const idOf = (node: number): NodeId => nodeId(node + 1);

export interface AgentParts {
  readonly world: World;
  readonly random: Random;
  readonly knowledge: () => Knowledge;
  readonly agent: (node: number) => Agent;
}

/** One node's own decisions: what teselad does each second, in virtual time. */
export class Agent {
  private readonly m: Machine;
  private readonly p: AgentParts;
  private readonly sent = new Sent();
  private readonly gone = new Gone();
  private sampledMs = 0;
  private readonly admission: Admission;
  private readonly placed = new Placed();
  private readonly ours = new Ours((id) => this.placed.count(id));
  private readonly closed = new Map<NodeId, number>();
  private readonly leaving = new Leaving<number>();
  private told = 0;
  private local = 0;
  /** The load of the last sample, not averaged. */
  private present = 0;
  private demanded = 0;
  /** CPU seconds used at the last sample, its own and those of others on its CPUs. */
  private got = 0;
  private gotByOthers = 0;
  private readonly rivals = new RivalMeter();
  private share: Competition;
  /** Part of its CPUs that was used since the last sample. */
  private util = 0;
  private lastDeparture = Number.NEGATIVE_INFINITY;
  /** By how much free memory shrinks, with and without what comes and goes. */
  private readonly shrinkage = new Shrinkage();
  private steady = 0;
  private again: Timer | null = null;
  private next: Timer | null = null;

  constructor(machine: Machine, parts: AgentParts) {
    this.m = machine;
    this.admission = new Admission(() => parts.world.scenario.knobs.balance);
    this.p = parts;
    this.share = alone(machine.cpus);
    const { clock } = parts.world;
    clock.after(parts.random.float() * ROUND_MS, () => {
      this.demanded = machine.demanded;
      this.round();
      clock.every(ROUND_MS, () => this.round());
    });
  }

  /** What it tells of itself. */
  entry(): LoadEntry {
    const { cpus, speed, memory, tasks, index } = this.m;
    const guests = tasks.reduce((n, t) => n + (t.job.home === index ? 0 : 1), 0);
    const { got } = this.share;
    const { rss, growth, carried } = this.admission.arriving(this.now(), this.sampledMs);
    const load = this.told + this.crowding() + brings(carried, { cpus, got, speed });
    const util = Math.min(1, this.util + carried / cpus);
    const [memFree, memGrowth] = [Math.max(0, this.free() - rss), this.steady + growth];
    return { cpus, got, speed, load, memTotal: memory, memFree, memGrowth, guests, away: 0, flags: [], util };
  }

  /** Where a process that is about to begin here is placed best. */
  place(job: Job): number {
    const { knobs } = this.p.world.scenario;
    const id = idOf(this.m.index);
    // Programs begin faster than an average rises.
    const self = { ...this.self(), load: this.m.load + this.crowding() };
    const others = this.known().map((n) => this.ours.present(n));
    const work = this.placed.usualWork;
    const habit = work === null ? {} : { work, calls: job.calls * work };
    const to =
      place({ self, others, inFlight: new Set() }, { cpu: 1, rss: job.memory, home: id, ...habit }, knobs.place, this.p.random) ?? id;
    this.placed.runs(job, to);
    return to - 1;
  }

  /** The part of its load that is of others. */
  private crowding(): number {
    return this.share.rivals / (this.m.factor * this.m.cpus);
  }

  /** A process of this home has been moved. */
  moved(job: Job, to: NodeId): void {
    if (job.place) this.placed.runs(job, to);
  }
  ended(job: Job): void {
    if (job.place) this.placed.ended(job);
  }

  private now(): number {
    return this.p.world.clock.now();
  }

  private free(): number {
    return Math.max(0, this.m.memory - this.m.used());
  }

  private round(): void {
    this.sample();
    if (!this.forMemory()) this.forLoad();
  }

  private forLoad(): void {
    this.next?.cancel();
    this.next = null;
    const { balance: knobs } = this.p.world.scenario.knobs;
    const nowMs = this.now();
    const self = this.self();
    if (this.m.tasks.length === 0 || nowMs - this.lastDeparture < pauseMs(self, knobs)) return;
    // Nodes that are not overloaded look only at the homes of their guests: balance() weighs no others then.
    const crowded = Math.max(self.load, (self.load * self.speed) / STANDARD_SPEED) > knobs.overload;
    const others = crowded ? this.others() : this.homes();
    if (others.length === 0) return;
    for (let tries = 0; tries < TRIES; tries++) {
      const state = { self, others, processes: this.processes(), nowMs, lastDepartureMs: this.lastDeparture, inFlight: this.inFlight() };
      const outcome = this.carryOut(balance(state, knobs, this.p.random));
      if (outcome === "sent") this.soon(pauseMs(this.self(), knobs));
      if (outcome !== "refused") return;
    }
  }

  /** Looks again before the next round, when the pause is over by then. */
  private soon(ms: number): void {
    if (ms < ROUND_MS) this.next = this.p.world.clock.after(ms, () => this.forLoad());
  }

  private sample(): void {
    const { m } = this;
    const now = this.now();
    m.advance(now);
    const [wanted = 0, ran = 0, others = 0] = [m.demanded - this.demanded, m.got - this.got, m.gotByOthers - this.gotByOthers].map(
      (seconds) => (seconds * 1000) / ROUND_MS,
    );
    const load = wanted / (m.factor * m.cpus);
    [this.demanded, this.got, this.gotByOthers] = [m.demanded, m.got, m.gotByOthers];
    const idle = Math.max(0, m.cpus - ran - others);
    this.share = this.rivals.look({ cpus: m.cpus, got: ran, wanted, ran, steady: 0, cores: { count: m.cpus, idle, stolen: 0 } });
    this.util = Math.min(1, (load * m.factor * m.cpus + this.share.unseen) / m.cpus);
    this.sampledMs = now;
    this.present = load;
    this.told = toldLoad(this.told, load);
    this.local = localLoad(this.local, load);
    if (this.placed.isUsed) for (const n of this.known()) this.ours.average(n, toldLoad);
    for (const t of m.tasks) {
      const used = t.cpuSeconds();
      t.cpu = smoothShare(t.cpu, ((used - t.looked) * 1000) / ROUND_MS);
      t.looked = used;
    }
  }

  /** Whether something was sent away to keep memory free. */
  private forMemory(): boolean {
    this.again?.cancel();
    this.again = null;
    this.m.advance(this.now());
    const { usher: knobs } = this.p.world.scenario.knobs;
    const free = this.free();
    const processes = this.processes();
    const { rss: bytes, rate } = this.admission.arriving(this.now(), this.sampledMs);
    const known = processes.reduce((sum, p) => sum + p.growth, rate);
    const memory = {
      self: { memTotal: this.m.memory, memFree: free },
      processes,
      growth: this.shrinkage.look(free, this.now(), known),
      arriving: { bytes, rate },
      departing: this.leaving.departing(this.now()),
    };
    this.steady = forecast(memory, knobs).growth;
    if (this.m.tasks.length === 0 || (memory.growth <= knobs.noise && free > 2 * lowMark(this.m.memory, knobs))) return false;
    const state: UsherState = { ...memory, self: this.self(), others: this.others(), nowMs: this.now(), inFlight: this.inFlight() };
    const sent = this.carryOut(usher(state, knobs, this.p.random)) === "sent";
    const next = lookAgainMs(state, knobs);
    if (next < ROUND_MS) this.again = this.p.world.clock.after(next, () => void this.forMemory());
    return sent;
  }

  /** What came of it: `refused` when some target refused. */
  private carryOut(decisions: readonly Decision[]): "nothing" | "sent" | "refused" {
    let outcome: "nothing" | "sent" | "refused" = "nothing";
    for (const d of decisions) {
      const task = d.to === null ? undefined : this.m.tasks.find((t) => t.job.pid === d.pid);
      if (task === undefined || d.to === null) continue;
      if (!this.send(task, d.to, d)) outcome = "refused";
      else if (outcome === "nothing") outcome = "sent";
    }
    return outcome;
  }

  /** Why this node does not take what is offered. */
  refusal(offer: Offer): string | null {
    return this.admission.answer({ ...this.self(), load: this.present + this.crowding() }, offer, this.now());
  }

  private send(task: Task, to: NodeId, { motive, lasts }: Decision): boolean {
    const { world } = this.p;
    const rss = task.rss();
    const growth = task.growth() * task.cpu;
    const [comesHome, load] = [task.job.home === to - 1, this.self().load];
    const offer = { motive, comesHome, tasks: 1, rss, load, growth, lasts: lasts ?? this.p.world.scenario.knobs.balance.aheadMs / 1000 };
    if (this.p.agent(to - 1).refusal(offer) !== null) {
      this.closed.set(to, this.now() + CLOSED_MS);
      return false;
    }
    const carried = world.carry(task, to - 1, () => {
      this.p.agent(task.job.home).moved(task.job, to);
      this.leaving.delete(task.job.pid);
      this.sent.add(to, { tasks: 1, rss, growth }, this.now());
      this.gone.add(1, this.now());
      const before = task.departures.findLast((d) => d.node === to - 1);
      const soon = before !== undefined && this.now() - before.at < QUICK_MS;
      task.bounces = soon ? before.bounces + 1 : 0;
      task.since = this.now();
    });
    if (!carried) {
      this.closed.set(to, this.now() + CLOSED_MS);
      return false;
    }
    this.lastDeparture = this.now();
    this.leaving.add(task.job.pid, { to, tasks: 1, rss, growth, since: this.now() });
    return true;
  }

  private inFlight(): ReadonlySet<NodeId> {
    return this.leaving.targets;
  }

  private self(): NodeView {
    const { cpus, speed, memory, index } = this.m;
    const { bandwidth, rttMs } = this.p.world;
    const node: NodeView = {
      id: idOf(index),
      cpus,
      got: this.share.got,
      untried: this.share.untried,
      speed,
      load: this.local + this.crowding(),
      memTotal: memory,
      memFree: this.free(),
      memGrowth: this.steady,
      ageMs: this.now() - this.sampledMs,
      accepts: true,
      bandwidth,
      rttMs,
    };
    const without = this.gone.without(node, this.now());
    return { ...without, load: Math.max(0, without.load - this.leaving.tasks / (this.m.factor * cpus)) };
  }

  private others(): NodeView[] {
    return this.known().map((n) => this.expected(n));
  }

  private expected(n: NodeView): NodeView {
    return this.sent.added(asTarget(n), this.now());
  }

  /** As they told. */
  private known(): NodeView[] {
    const out: NodeView[] = [];
    for (const known of this.p.knowledge().all(this.m.index)) out.push(this.view(known));
    return out;
  }

  private homes(): NodeView[] {
    const homes = new Set(this.m.tasks.map((t) => t.job.home).filter((home) => home !== this.m.index));
    return [...homes].flatMap((home) => {
      const known = this.p.knowledge().one(this.m.index, home);
      return known === null ? [] : [this.expected(this.view(known))];
    });
  }

  private view({ node, entry, ageMs }: Known): NodeView {
    const { cpus, got = entry.cpus, speed, load, memTotal, memFree, memGrowth = 0, util = 1 } = entry;
    const { bandwidth, rttMs } = this.p.world;
    return { id: idOf(node), cpus, got, speed, load, util, memTotal, memFree, memGrowth, ageMs, accepts: true, bandwidth, rttMs };
  }

  private processes(): ProcessView[] {
    const now = this.now();
    const allowed = (node: NodeId): boolean => now >= (this.closed.get(node) ?? 0);
    return this.m.tasks.map((t) => ({
      pid: t.job.pid,
      home: idOf(t.job.home),
      cpu: t.cpu,
      cpuMs: t.cpuSeconds() * 1000,
      rss: t.rss(),
      growth: t.growth() * t.cpu,
      calls: t.job.calls * t.cpu,
      sinceMoveMs: now - t.since,
      bounces: t.bounces,
      fixed: [],
      allowed,
      demand: 1,
    }));
  }
}
