import type { Machine } from "./machine.ts";
import type { Policy, PolicyOf } from "./policy.ts";
import { Ranking } from "./ranking.ts";
import type { Task } from "./task.ts";
import type { Job } from "./workload.ts";
import type { World } from "./world.ts";

/** How often all processes are dealt out anew. */
const DEAL_MS = 1000;

/**
 * What nobody can do: knows all loads and all remaining lives at no delay, and moves at no cost. A process begins where it gets most; a node with
 * room takes the longest process of the most crowded node; each second the longest processes are put where processes get most.
 */
export const omniscient: PolicyOf = (world) => new Omniscient(world);

/** Rates that differ by less are equal. */
const EQUAL = 1e-9;

class Omniscient implements Policy {
  readonly name = "omniscient";
  readonly traffic = { messages: 0, bytes: 0 };
  private readonly world: World;
  /** By what a process that comes would get. */
  private readonly roomiest: Ranking;
  /** By how little each process gets. */
  private readonly fullest: Ranking;
  /** Bytes that the processes of each node will ever need. */
  private readonly promised: Float64Array;

  constructor(world: World) {
    this.world = world;
    this.roomiest = new Ranking(world.machines.map(offers));
    this.fullest = new Ranking(world.machines.map(want));
    this.promised = new Float64Array(world.machines.length);
    world.clock.every(DEAL_MS, () => this.deal());
  }

  begin(job: Job): Task {
    const on = this.placeFor(job);
    const task = this.world.begin(job, on);
    this.promise(on, job.peak);
    this.rank(on);
    return task;
  }

  ended(task: Task, on: Machine): void {
    this.promise(on.index, -task.job.peak);
    this.rank(on.index);
    this.fill();
  }

  private placeFor(job: Job): number {
    const top = this.roomiest.top;
    if (this.fits(job, top)) return top;
    const fitting = this.world.machines.filter((m) => this.fits(job, m.index));
    return fitting.length === 0 ? top : fitting.reduce((a, b) => (offers(b) > offers(a) ? b : a)).index;
  }

  private fits(job: Job, on: number): boolean {
    return (this.promised[on] ?? 0) + job.peak <= this.world.machine(on).memory;
  }

  private promise(on: number, bytes: number): void {
    this.promised[on] = (this.promised[on] ?? 0) + bytes;
  }

  /** From the most crowded node to the one with most room, as long as the process gets more there. */
  private fill(): void {
    for (;;) {
      const [from, to] = [this.world.machine(this.fullest.top), this.world.machine(this.roomiest.top)];
      if (from === to || from.tasks.length === 0 || offers(to) <= gets(from) + EQUAL) return;
      const fitting = from.tasks.filter((t) => this.fits(t.job, to.index));
      if (fitting.length === 0) return;
      this.move(
        fitting.reduce((a, b) => (b.left() > a.left() ? b : a)),
        to.index,
      );
    }
  }

  private deal(): void {
    const places = this.world.machines.flatMap((m) => m.tasks.map(() => ({ m, rate: gets(m) })));
    const now = this.world.clock.now();
    for (const m of this.world.machines) m.advance(now);
    const tasks = this.world.machines.flatMap((m) => m.tasks.map((task) => ({ task, left: task.left() * m.factor, rate: gets(m) })));
    places.sort((a, b) => b.rate - a.rate || a.m.index - b.m.index);
    tasks.sort((a, b) => b.left - a.left || a.task.job.pid - b.task.job.pid);
    const going = tasks.flatMap(({ task, rate }, i) => {
      const place = places[i];
      return place === undefined || Math.abs(place.rate - rate) <= EQUAL ? [] : [{ task, to: place.m.index }];
    });
    for (const { task, to } of going) if (task.machine?.index !== to && this.fits(task.job, to)) this.move(task, to);
    this.fill();
  }

  private move(task: Task, to: number): void {
    const from = task.machine?.index ?? to;
    this.world.conjure(task, to);
    this.promise(from, -task.job.peak);
    this.promise(to, task.job.peak);
    this.rank(from);
    this.rank(to);
  }

  private rank(index: number): void {
    for (const m of this.world.machine(index).mates) {
      this.roomiest.set(m.index, offers(m));
      this.fullest.set(m.index, want(m));
    }
  }
}

/** Standard processors that one of its processes gets, and one more would get. */
const gets = (m: Machine): number => m.factor * Math.min(1, m.cpus / m.crowd);
const offers = (m: Machine): number => m.factor * Math.min(1, m.cpus / (m.crowd + 1));
const want = (m: Machine): number => (m.tasks.length === 0 ? Number.NEGATIVE_INFINITY : -gets(m));
