import { type NodeId, nodeId } from "../base/mod.ts";
import { type Random, SeededRandom } from "../io/mod.ts";
import { balance } from "./balance.ts";
import { crowding } from "./cost.ts";
import { BALANCE_KNOBS, type BalanceKnobs } from "./knobs.ts";
import { bouncesAfter } from "./stay.ts";
import { aNode, aProcess } from "./test-views.ts";
import type { NodeView } from "./views.ts";

/** A few nodes and their jobs, second by second, with the averages of the classics and knowledge that is a while old. */
export interface LoopNode {
  readonly cpus?: number;
  readonly speed?: number;
  /** Nodes of the same name, which have as many CPUs, have the same CPUs, each task as much of them as any other. They do not see one another's. */
  readonly cores?: string;
}

interface Job {
  readonly pid: number;
  readonly home: NodeId;
  /** Part of the time that it computes, on the average. */
  readonly duty: number;
  at: NodeId;
  /** Smoothed share, CPU time, and when it came. */
  cpu: number;
  cpuMs: number;
  since: number;
  bounces: number;
  runs: boolean;
  fixed: readonly string[];
}

interface Told {
  readonly load: number;
  readonly got: number;
  readonly at: number;
}

export interface LoopMove {
  readonly second: number;
  readonly pid: number;
  readonly from: NodeId;
  readonly to: NodeId;
}

export class Loop {
  readonly moves: LoopMove[] = [];
  readonly jobs: Job[] = [];
  private readonly ids: NodeId[];
  private readonly specs: readonly LoopNode[];
  private readonly random: Random;
  private readonly knobs: BalanceKnobs;
  /** Seconds by which what others tell is old. */
  private readonly lag: number;
  private second = 0;
  private readonly local = new Map<NodeId, number>();
  /** Own tasks as they are told, tasks of others on the same CPUs, and CPUs that it gets. */
  private readonly own = new Map<NodeId, number>();
  private readonly unseen = new Map<NodeId, number>();
  private readonly got = new Map<NodeId, number>();
  private readonly rivals = new Map<NodeId, number>();
  private readonly told = new Map<NodeId, Told[]>();
  private readonly departed = new Map<NodeId, number>();
  /** When a node last sent something to another, as `from>to`. */
  private readonly sent = new Map<string, number>();

  constructor(specs: readonly LoopNode[], { seed = 1, lag = 1, knobs = BALANCE_KNOBS } = {}) {
    this.specs = specs;
    this.ids = specs.map((_, i) => nodeId(i + 1));
    this.random = new SeededRandom(seed);
    this.knobs = knobs;
    this.lag = lag;
  }

  start(at: NodeId, count: number, duty = 1): void {
    for (let i = 0; i < count; i++) {
      const pid = 100 + this.jobs.length;
      this.jobs.push({ pid, home: at, duty, at, cpu: 0, cpuMs: 0, since: Number.NEGATIVE_INFINITY, bounces: 0, runs: false, fixed: [] });
    }
  }

  /** The same of jobs that do not move. */
  startFixed(at: NodeId, count: number): void {
    this.start(at, count);
    for (const j of this.jobs.slice(-count)) j.fixed = ["lock"];
  }

  run(seconds: number): void {
    for (let i = 0; i < seconds; i++) this.tick();
  }

  /** Jobs on each node. */
  spread(): number[] {
    return this.ids.map((id) => this.jobs.filter((j) => j.at === id).length);
  }

  private tick(): void {
    this.second++;
    for (const j of this.jobs) j.runs = this.random.float() < j.duty;
    for (const id of this.ids) this.sample(id);
    for (const id of this.ids) this.decide(id);
  }

  private sample(id: NodeId): void {
    const { cpus, speed } = this.view(id, 0, 0);
    const running = this.jobs.filter((j) => j.at === id && j.runs);
    const all = this.jobs.filter((j) => j.runs && this.shares(j.at, id)).length;
    const share = Math.min(1, cpus / Math.max(1, all));
    for (const j of this.jobs.filter((x) => x.at === id)) {
      const got = j.runs ? share : 0;
      j.cpuMs += got * 1000;
      j.cpu = (5 * j.cpu + 3 * got) / 8;
    }
    // As src/load/rivals.ts: CPUs that others use, and who is behind them as far as own tasks feel it.
    const before = this.unseen.get(id) ?? 0;
    const unseen = (5 * before + 3 * share * (all - running.length)) / 8;
    this.unseen.set(id, unseen);
    const rivals = running.length > 0 ? unseen / share : unseen;
    this.got.set(id, Math.max(cpus - unseen, cpus / (1 + rivals)));
    const perTask = 10_000 / (speed * cpus);
    const now = running.length * perTask;
    const local = this.local.get(id) ?? 0;
    this.local.set(id, now > local ? (5 * local + 3 * now) / 8 : now);
    const last = this.own.get(id) ?? 0;
    this.own.set(id, now >= last ? now : (7 * last + now) / 8);
    this.rivals.set(id, rivals * perTask);
    const history = this.told.get(id) ?? [];
    history.push({ load: (this.own.get(id) ?? 0) + rivals * perTask, got: this.got.get(id) ?? cpus, at: this.second });
    this.told.set(id, history);
  }

  private shares(a: NodeId, b: NodeId): boolean {
    const cores = this.specs[a - 1]?.cores;
    return a === b || (cores !== undefined && cores === this.specs[b - 1]?.cores);
  }

  private view(id: NodeId, load: number, ageMs: number, got = this.got.get(id)): NodeView {
    const { cpus = 1, speed = 10_000 } = this.specs[id - 1] ?? {};
    return aNode(id, { cpus, speed, load, ageMs, got: got ?? cpus });
  }

  /** By its own average, those with whom it shares its CPUs included. */
  private self(id: NodeId): NodeView {
    return this.view(id, (this.local.get(id) ?? 0) + (this.rivals.get(id) ?? 0), 0);
  }

  private decide(id: NodeId): void {
    const others = this.ids
      .filter((other) => other !== id)
      .flatMap((other) => {
        const heard = this.told.get(other)?.at(-1 - this.lag);
        return heard === undefined ? [] : [this.view(other, heard.load, (this.second - heard.at) * 1000, heard.got)];
      });
    const processes = this.jobs
      .filter((j) => j.at === id)
      .map((j) =>
        aProcess(j.pid, {
          home: j.home,
          cpu: j.cpu,
          cpuMs: j.cpuMs,
          sinceMoveMs: this.second * 1000 - j.since,
          bounces: j.bounces,
          fixed: j.fixed,
        }),
      );
    const state = {
      self: this.self(id),
      others,
      processes,
      nowMs: this.second * 1000,
      lastDepartureMs: this.departed.get(id) ?? Number.NEGATIVE_INFINITY,
      inFlight: new Set(others.filter((n) => this.second * 1000 - n.ageMs <= (this.sent.get(`${id}>${n.id}`) ?? -1)).map((n) => n.id)),
    };
    const decision = balance(state, this.knobs, this.random).find((d) => d.to !== null);
    const job = this.jobs.find((j) => j.pid === decision?.pid);
    if (decision === undefined || decision.to === null || job === undefined) return;
    this.moves.push({ second: this.second, pid: job.pid, from: id, to: decision.to });
    job.bounces = bouncesAfter(job.bounces, this.second * 1000 - job.since, this.knobs);
    job.since = this.second * 1000;
    job.at = decision.to;
    this.departed.set(id, this.second * 1000);
    this.sent.set(`${id}>${decision.to}`, this.second * 1000);
  }

  /** Moves that took a process back to where it had come from, that soon. */
  pingPongs(withinSeconds: number): LoopMove[] {
    return this.moves.filter((m, i) =>
      this.moves.slice(0, i).some((b) => b.pid === m.pid && b.from === m.to && b.to === m.from && m.second - b.second <= withinSeconds),
    );
  }

  crowds(): number[] {
    return this.ids.map((id) => crowding(this.self(id)));
  }
}
