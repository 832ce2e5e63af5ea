import type { NodeId, TeselaError } from "../base/mod.ts";

/** After a move that did not come about the process is left alone: first so long, then twice as long each time, up to the most. */
const FIRST_MS = 5000;
const MOST_MS = 5 * 60_000;
/** A node that has refused, or could not be reached, is asked again after so long. */
const CLOSED_MS = 5000;

/** Errors that are about the node, not about the process. */
const OF_THE_NODE: ReadonlySet<string> = new Set(["E_REFUSED", "E_NOMEM", "E_NODE_DOWN", "E_LINK", "E_TIMEOUT", "E_NONODE", "E_VERSION"]);

/** Why one node cannot run one process, while others can (docs/compat.md). */
const OF_BOTH: ReadonlySet<string> = new Set(["cpu_features", "clocks_differ"]);
const APART_MS = 10 * 60_000;

interface Setback {
  readonly until: number;
  readonly times: number;
  readonly why: string;
}

/** Moves that failed, so that they are not tried again and again. */
export class Setbacks {
  private readonly processes = new Map<string, Setback>();
  private readonly nodes = new Map<NodeId, number>();
  private readonly pairs = new Map<string, number>();

  note(cpid: string, to: NodeId, error: TeselaError, now: number): void {
    if (OF_THE_NODE.has(error.code)) {
      this.nodes.set(to, now + CLOSED_MS);
      return;
    }
    const reasons = Array.isArray(error.details["reasons"]) ? (error.details["reasons"] as string[]) : [];
    if (reasons.some((r) => OF_BOTH.has(r))) {
      this.pairs.set(pair(cpid, to), now + APART_MS);
      return;
    }
    const times = (this.processes.get(cpid)?.times ?? 0) + 1;
    const why = reasons[0] ?? error.code;
    this.processes.set(cpid, { until: now + Math.min(MOST_MS, FIRST_MS * 2 ** (times - 1)), times, why });
  }

  forget(cpid: string): void {
    this.processes.delete(cpid);
  }

  /** The named reason for which it is left alone now. */
  of(cpid: string, now: number): string | null {
    const setback = this.processes.get(cpid);
    return setback && now < setback.until ? setback.why : null;
  }

  isClosed(cpid: string, node: NodeId, now: number): boolean {
    return now < Math.max(this.nodes.get(node) ?? 0, this.pairs.get(pair(cpid, node)) ?? 0);
  }

  /** What is over is forgotten: now and then. */
  tidy(now: number): void {
    for (const [cpid, { until }] of this.processes) if (now > until + MOST_MS) this.processes.delete(cpid);
    for (const [key, until] of this.pairs) if (now > until) this.pairs.delete(key);
  }
}

const pair = (cpid: string, node: NodeId): string => `${cpid} ${node}`;
