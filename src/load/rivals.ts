import { smoothShare } from "./averages.ts";
import type { CoreUse } from "./cores.ts";

/** A node's CPUs since its last sample. All are CPUs, or tasks, on the average. */
export interface CpuLook {
  /** That it may use, by affinity and quota. */
  readonly cpus: number;
  /** That all its processes used; null at the first look. */
  readonly got: number | null;
  /** Its tasks that ran or wanted to, and the part of those that ran. */
  readonly wanted: number;
  readonly ran: number;
  /** Its tasks that did so for the whole time. */
  readonly steady: number;
  /** Null where it is not known what its CPUs did. */
  readonly cores: CoreUse | null;
}

/** What a node can count on, of the CPUs that it may use. */
export interface Competition {
  /** CPUs that its tasks get when there are enough of them; at least what one task more would get. */
  readonly got: number;
  /** CPUs without what a hypervisor takes. */
  readonly whole: number;
  /** CPUs that are used by tasks which it does not see, and how many tasks those are about. */
  readonly unseen: number;
  readonly rivals: number;
  /** None of its own tasks has shown lately what one gets: how many rivals there are is a guess. */
  readonly untried: boolean;
  /** Tasks of its own that waited for a CPU which a hypervisor had taken: they count neither as running nor as waiting. */
  readonly suspended: number;
}

/** Of a node that has its CPUs to itself, or is to behave as if it had. */
export const alone = (cpus: number): Competition => ({ got: cpus, whole: cpus, unseen: 0, rivals: 0, untried: false, suspended: 0 });

/** Part of a node's CPUs that may be missing without anything being wrong: interrupts, and times that are counted in ticks. */
const NOISE = 0.08;
/** What cannot be measured now is forgotten by half in half a minute: sooner, and a node that has just emptied is tried over and over. */
const KEEP = 0.5 ** (1 / 30);
/** Of less than so much of a CPU no ratio is worth looking at. */
const LEAST = 0.02;

const real = (part: number): number => (part > NOISE ? part : 0);

/**
 * Learns how much of its CPUs a node really gets (docs/decisions/0075). Nothing here is of its own tasks, whoever's they are: only what it does not
 * see is missing.
 */
export class RivalMeter {
  /** CPUs that others use, as a part of those that it may use; below 0 by chance. */
  private unseen = 0;
  /** Tasks of its own that wanted a CPU, and that ran. What either was in one second says little where a task runs for a twentieth of it. */
  private wanted = 0;
  private ran = 0;
  /** Tasks behind each CPU that its own tasks got: as many are behind each that others got. */
  private crowd = 1;
  private stolen = 0;

  /** Call once a second: the averages depend on it. */
  look(l: CpuLook): Competition {
    if (l.got !== null) this.learn(l, l.got);
    const { cpus, ran } = l;
    const stolen = real(this.stolen);
    const whole = cpus * (1 - stolen);
    const unseen = Math.min(whole, cpus * real(this.unseen));
    const rivals = unseen * this.crowd;
    // One that came now would get a fair part at least.
    const got = Math.max(whole - unseen, whole / (1 + rivals));
    // Where tasks are charged for what was stolen, times add up to more than there are CPUs.
    const isCharged = l.cores !== null && (l.got ?? 0) + l.cores.idle + l.cores.stolen > cpus * (1 + NOISE);
    const untried = rivals > 0 && this.ran <= LEAST;
    return { got, whole, unseen, rivals, untried, suspended: isCharged ? 0 : (ran * stolen) / (1 - stolen) };
  }

  private learn({ cpus, wanted, ran, steady, cores }: CpuLook, got: number): void {
    this.wanted = smoothShare(this.wanted, wanted);
    this.ran = smoothShare(this.ran, ran);
    this.crowd = this.ran > LEAST ? Math.max(1, this.wanted / this.ran) : 1 + (this.crowd - 1) * KEEP;
    if (cores === null) {
      // Nobody says whether its CPUs were idle; they were not, when there was always a task for each.
      this.unseen = steady >= cpus ? this.missing(cpus - got, cpus) : this.unseen * KEEP;
      this.stolen *= KEEP;
      return;
    }
    this.unseen = this.missing(cpus - got - cores.idle - cores.stolen, cpus);
    // A hypervisor takes only from what wants to run: who is idle learns nothing.
    const busy = cores.count - cores.idle;
    this.stolen = busy > cores.count * NOISE ? smoothShare(this.stolen, cores.stolen / busy) : this.stolen * KEEP;
  }

  /** More than it may use can be idle where it has a quota, and times that are read one after the other do not quite add up. */
  private missing(n: number, cpus: number): number {
    return smoothShare(this.unseen, Math.min(1, Math.max(-NOISE, n / cpus)));
  }
}
