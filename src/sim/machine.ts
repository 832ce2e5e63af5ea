import { assert } from "../base/mod.ts";
import type { NodeGroup } from "./scenario.ts";
import type { Task } from "./task.ts";

const STANDARD_SPEED = 10_000;
/** What a node that swaps gets done, against one that does not. */
const SWAPPING = 0.1;
/** CPU seconds by which sums of doubles may miss. */
const SLACK = 1e-9;

/** A process that is carried here: its bytes come evenly. */
export interface Arrival {
  readonly bytes: number;
  readonly growth: number;
  readonly begin: number;
  readonly end: number;
}

/** A node: its runnable processes share its CPUs equally, none getting more than one. Event driven: between two changes all goes on evenly. */
export class Machine {
  readonly index: number;
  readonly cpus: number;
  readonly speed: number;
  readonly memory: number;
  /** Of the standard processor. */
  readonly factor: number;
  readonly tasks: Task[] = [];
  /** Those that have the same CPUs, itself included. */
  mates: readonly Machine[] = [this];
  /** CPU seconds that each process that runs here has got since the beginning. */
  service = 0;
  /** CPU seconds that all that run here have got together, and those that its mates' have. */
  got = 0;
  gotByOthers = 0;
  /** Process seconds so far: their difference over a time is how many wanted a CPU. */
  demanded = 0;
  /** Bytes of what leaves and has not been sent whole, and what is on its way here. */
  reserved = 0;
  readonly arrivals = new Set<Arrival>();
  /** Its memory does not hold what runs here. */
  swaps = false;
  /** Until when its link is busy, sending and receiving, milliseconds. */
  sendsUntil = 0;
  receivesUntil = 0;
  private at = 0;

  constructor(index: number, { cpus, speed, memory }: NodeGroup) {
    this.index = index;
    this.cpus = cpus;
    this.speed = speed;
    this.memory = memory;
    this.factor = speed / STANDARD_SPEED;
  }

  /** Runnable processes of its own for each standard processor, now. */
  get load(): number {
    return this.tasks.length / (this.factor * this.cpus);
  }

  /** Processes that want its CPUs. */
  get crowd(): number {
    return this.mates.reduce((n, m) => n + m.tasks.length, 0);
  }

  /** CPUs that one of its processes gets. */
  share(): number {
    return this.tasks.length === 0 ? 0 : Math.min(1, this.cpus / this.crowd) * (this.swaps ? SWAPPING : 1);
  }

  /** Brings the figures up to a moment, milliseconds. */
  advance(now: number): void {
    const seconds = (now - this.at) / 1000;
    if (seconds <= 0) return;
    const share = this.share();
    this.service += share * seconds;
    this.got += this.tasks.length * share * seconds;
    for (const m of this.mates) if (m !== this) this.gotByOthers += m.tasks.length * m.share() * seconds;
    this.demanded += this.tasks.length * seconds;
    this.at = now;
  }

  add(task: Task, now: number): void {
    for (const m of this.mates) m.advance(now);
    task.machine = this;
    task.from = this.service;
    task.slot = this.tasks.push(task) - 1;
  }

  remove(task: Task, now: number): void {
    for (const m of this.mates) m.advance(now);
    assert(task.machine === this && this.tasks[task.slot] === task, "a process is where it says");
    task.settle();
    const last = this.tasks.pop();
    if (last !== undefined && last !== task) {
      this.tasks[task.slot] = last;
      last.slot = task.slot;
    }
    task.machine = null;
  }

  /** When the next process ends, milliseconds; Infinity when none runs. */
  nextEnd(): number {
    let least = Number.POSITIVE_INFINITY;
    for (const t of this.tasks) least = Math.min(least, t.left());
    return least === Number.POSITIVE_INFINITY ? least : this.at + (Math.max(0, least) / this.share()) * 1000;
  }

  /** Those that have had all that they need. */
  ended(): Task[] {
    return this.tasks.filter((t) => t.left() <= SLACK).sort((a, b) => a.job.pid - b.job.pid);
  }

  /** Bytes in use, those included that have come of what is on its way here. */
  used(): number {
    let bytes = this.reserved;
    for (const t of this.tasks) bytes += t.rss();
    for (const a of this.arrivals) bytes += a.bytes * this.part(a);
    return bytes;
  }

  /** What is on its way here: processes, bytes that are not here yet, bytes a second that they will grow by and that come now. */
  get arriving(): { tasks: number; rss: number; growth: number; rate: number } {
    const sum = { tasks: 0, rss: 0, growth: 0, rate: 0 };
    for (const a of this.arrivals) {
      const part = this.part(a);
      sum.tasks++;
      sum.rss += a.bytes * (1 - part);
      sum.growth += a.growth;
      if (part > 0) sum.rate += (a.bytes * 1000) / (a.end - a.begin);
    }
    return sum;
  }

  private part({ begin, end }: Arrival): number {
    return Math.min(1, Math.max(0, (this.at - begin) / (end - begin)));
  }
}
