import type { Machine } from "./machine.ts";
import type { Job } from "./workload.ts";

/** A process that lives. */
export class Task {
  readonly job: Job;
  /** Milliseconds. */
  readonly begun: number;
  /** Where it runs; null while it is carried. */
  machine: Machine | null = null;
  /** Its place among the machine's processes, and the machine's service when it came. */
  slot = 0;
  from = 0;
  /** Seconds of a standard processor that it still needed when it came. */
  need: number;
  /** How many times as long it takes for its calls to go home from here; 1 at home. */
  pace = 1;
  /** CPU seconds on other machines. */
  private elsewhere = 0;
  /** As the host keeps them: when it came, how quickly it has moved on. */
  since = Number.NEGATIVE_INFINITY;
  bounces = 0;
  /** Smoothed share of the CPUs, with the CPU seconds at the last look. */
  cpu = 0;
  looked = 0;
  /** Nodes that it has left, when, and the bounces that it had there. */
  readonly departures: { readonly node: number; readonly at: number; readonly bounces: number }[] = [];

  constructor(job: Job, now: number) {
    this.job = job;
    this.begun = now;
    this.need = job.work;
  }

  /** CPU seconds here. */
  private here(): number {
    return this.machine === null ? 0 : this.machine.service - this.from;
  }

  /** CPU seconds that it still needs, on the machine where it runs. */
  left(): number {
    return this.machine === null ? Number.POSITIVE_INFINITY : (this.need * this.pace) / this.machine.factor - this.here();
  }

  /** CPU seconds so far. */
  cpuSeconds(): number {
    return this.elsewhere + this.here();
  }

  /** Resident bytes. */
  rss(): number {
    const { memory, growth, peak } = this.job;
    return growth === 0 ? memory : Math.min(peak, memory + growth * this.cpuSeconds());
  }

  /** Bytes that it grows by with each CPU second. */
  growth(): number {
    return this.rss() < this.job.peak ? this.job.growth : 0;
  }

  /** Takes down what it has got here, for it leaves. */
  settle(): void {
    const { machine } = this;
    if (machine === null) return;
    const here = this.here();
    this.need = Math.max(0, this.need - (here * machine.factor) / this.pace);
    this.elsewhere += here;
    this.from = machine.service;
  }
}
