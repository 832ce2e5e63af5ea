import { assert } from "../base/mod.ts";
import type { Timer } from "../io/mod.ts";
import type { EventClock } from "./event-clock.ts";
import { Machine } from "./machine.ts";
import { reach, rttMs, streamRate } from "./network.ts";
import { nodeCount, type Scenario } from "./scenario.ts";
import { Task } from "./task.ts";
import type { Job } from "./workload.ts";

/** What is told of a move. */
export interface Move {
  readonly task: Task;
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
  /** For how long it stood still. */
  readonly ms: number;
}

export interface WorldEvents {
  ended(task: Task, on: Machine): void;
  moved(move: Move): void;
}

/** Machines and what runs on them. Who runs where is said from outside. */
export class World {
  readonly scenario: Scenario;
  readonly clock: EventClock;
  readonly machines: readonly Machine[];
  /** Bytes a second between two nodes. */
  readonly bandwidth: number;
  readonly rttMs: number;
  /** When work begins, milliseconds: before that nodes only get to know one another. */
  readonly zeroMs: number;
  private readonly events: WorldEvents;
  private readonly timers: (Timer | null)[];

  constructor(scenario: Scenario, clock: EventClock, zeroMs: number, events: WorldEvents) {
    this.zeroMs = zeroMs;
    this.scenario = scenario;
    this.clock = clock;
    this.events = events;
    this.machines = scenario.nodes.flatMap((g) => Array.from({ length: g.count }, () => g)).map((g, index) => new Machine(index, g));
    assert(this.machines.length === nodeCount(scenario), "a machine for each node");
    const cores = scenario.nodes.flatMap((g) => Array.from({ length: g.count }, () => g.cores));
    const mates = Map.groupBy(this.machines, (m) => cores[m.index] || m);
    for (const m of this.machines) m.mates = mates.get(cores[m.index] || m) ?? [m];
    this.timers = this.machines.map(() => null);
    this.bandwidth = streamRate(scenario.network);
    this.rttMs = rttMs(scenario.network);
  }

  machine(index: number): Machine {
    const m = this.machines[index];
    assert(m !== undefined, `there is no node ${index}`);
    return m;
  }

  reach(a: number, b: number): boolean {
    return reach(this.scenario.network, this.machines.length, a, b, this.clock.now() - this.zeroMs);
  }

  /** Begins a process on a node, after `ms` when it has to be carried there first. */
  begin(job: Job, on: number, ms = 0): Task {
    const task = new Task(job, this.clock.now());
    if (ms === 0) this.enter(task, this.machine(on));
    else this.clock.after(ms, () => this.enter(task, this.machine(on)));
    return task;
  }

  /** At once, and at no cost. */
  conjure(task: Task, to: number): void {
    const from = task.machine;
    assert(from !== null, "a process that runs");
    this.exit(task, from);
    this.enter(task, this.machine(to));
    this.events.moved({ task, from: from.index, to, bytes: 0, ms: 0 });
  }

  /**
   * Freezes a process, carries it and lets it go on there. Carries share links by following one another. False when it stays where it is: the
   * other node cannot be reached, or has not the memory.
   */
  carry(task: Task, to: number, arrived: () => void): boolean {
    const [from, target] = [task.machine, this.machine(to)];
    assert(from !== null && from !== target, "a process that runs elsewhere");
    const now = this.clock.now();
    from.advance(now);
    target.advance(now);
    const bytes = task.rss();
    if (!this.reach(from.index, to) || target.used() + target.arriving.rss + bytes > target.memory) return false;
    const begin = Math.max(now, from.sendsUntil, target.receivesUntil);
    const end = begin + (bytes / this.bandwidth) * 1000 + this.scenario.network.freezeMs;
    from.sendsUntil = end;
    target.receivesUntil = end;
    this.exit(task, from);
    task.departures.push({ node: from.index, at: now, bounces: task.bounces });
    // Its memory is given back when it has been sent.
    from.reserved += bytes;
    const arrival = { bytes, growth: task.growth(), begin, end };
    target.arrivals.add(arrival);
    this.clock.after(end - now, () => {
      from.reserved -= bytes;
      target.arrivals.delete(arrival);
      this.look(from);
      this.enter(task, target);
      arrived();
      this.events.moved({ task, from: from.index, to, bytes, ms: end - now });
    });
    return true;
  }

  /** Whether memory still holds what runs there; when not, all of it runs slower. */
  look(m: Machine): void {
    m.advance(this.clock.now());
    const swaps = m.used() > m.memory;
    if (swaps === m.swaps) return;
    m.swaps = swaps;
    this.schedule(m);
  }

  private enter(task: Task, m: Machine): void {
    task.pace = m.index === task.job.home ? 1 : 1 + (task.job.calls * this.rttMs) / 1000;
    m.add(task, this.clock.now());
    this.look(m);
    this.schedule(m);
  }

  private exit(task: Task, m: Machine): void {
    m.remove(task, this.clock.now());
    this.look(m);
    this.schedule(m);
  }

  /** Its processes and those that share CPUs with them get more or less than before. */
  private schedule(changed: Machine): void {
    for (const m of changed.mates) this.scheduleOne(m);
  }

  private scheduleOne(m: Machine): void {
    this.timers[m.index]?.cancel();
    const at = m.nextEnd();
    this.timers[m.index] = at === Number.POSITIVE_INFINITY ? null : this.clock.after(at - this.clock.now(), () => this.end(m));
  }

  private end(m: Machine): void {
    m.advance(this.clock.now());
    const ended = m.ended();
    for (const task of ended) m.remove(task, this.clock.now());
    this.look(m);
    this.schedule(m);
    for (const task of ended) this.events.ended(task, m);
  }
}
