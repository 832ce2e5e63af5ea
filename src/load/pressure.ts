import { ownGroupV2 } from "./cgroup.ts";
import { readSmall } from "./read.ts";

/**
 * Pressure stall information (Linux Documentation/accounting/psi.rst): parts of the time since the last sample, 0 to 1, in which some task, or for `Full`
 * all of them, stood still for want of it. Only what this kernel tells is there.
 */
export interface Pressure {
  readonly cpu?: number;
  readonly memory?: number;
  readonly memoryFull?: number;
  readonly io?: number;
}

const KINDS = ["cpu", "memory", "io"] as const;

/** Of its own control group where there is one that tells, of the whole machine otherwise. */
export class PressureMeter {
  private readonly root: string;
  private readonly group: string | null;
  private before = new Map<string, number>();
  private atMs = 0;

  constructor(root = "") {
    this.root = root;
    this.group = ownGroupV2(root);
  }

  /** Null where the kernel tells nothing; empty at the first look. */
  sample(nowMs: number): Pressure | null {
    const totals = new Map<string, number>();
    for (const kind of KINDS) {
      const text = this.read(kind);
      const [some, full] = [total(text, "some"), total(text, "full")];
      if (some !== null) totals.set(kind, some);
      if (full !== null && kind === "memory") totals.set("memoryFull", full);
    }
    const elapsed = nowMs - this.atMs;
    const parts = [...totals].flatMap(([kind, us]) => {
      const before = this.before.get(kind);
      return before === undefined || elapsed <= 0 ? [] : [[kind, Math.min(1, Math.max(0, (us - before) / 1000 / elapsed))] as const];
    });
    this.before = totals;
    this.atMs = nowMs;
    return totals.size === 0 ? null : Object.fromEntries(parts);
  }

  private read(kind: string): string | null {
    const own = this.group === null ? null : readSmall(`${this.group}/${kind}.pressure`);
    return own ?? readSmall(`${this.root}/proc/pressure/${kind}`);
  }
}

/** `some avg10=0.00 avg60=0.00 avg300=0.00 total=35219`: microseconds since boot. */
function total(text: string | null, line: string): number | null {
  const m = text === null ? null : new RegExp(`^${line} .*total=(\\d+)`, "m").exec(text);
  return m === null ? null : Number(m[1]);
}
