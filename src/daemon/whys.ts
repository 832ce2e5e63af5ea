import { existsSync } from "node:fs";
import type { DecisionLog } from "../balance/mod.ts";
import { nodeId, TeselaError } from "../base/mod.ts";
import type { Caller } from "./authorize.ts";
import type { Levelled } from "./levelled.ts";
import type { Members } from "./members.ts";
import type { ProcessRow, WhyMoved } from "./shapes.ts";

/** Whoever does not say in time what he has decided has not. */
const ANSWER_MS = 2000;

export interface WhyParts {
  readonly self: number;
  readonly levelled: Pick<Levelled, "has" | "isLocked">;
  readonly members: Members;
  readonly decisions: DecisionLog;
  /** Whether processes move by themselves from here. */
  readonly level: () => boolean;
  readonly quiet: () => boolean;
  readonly ps: () => Promise<ProcessRow[]>;
}

/** What `tesela why` tells: the last decisions about processes, and their moves by hand. */
export class Whys {
  private readonly p: WhyParts;

  constructor(parts: WhyParts) {
    this.p = parts;
  }

  /** One of this node's own processes was moved by hand. */
  note(pid: number, from: number, to: number, why: string): void {
    const nodes = { home: nodeId(this.p.self), from: nodeId(from), to: nodeId(to) };
    this.p.decisions.add([{ pid, ...nodes, motive: "command", why, considered: [], atMs: performance.now() }]);
  }

  /**
   * Of the node where it runs, which decides; of its home, which knows what was said of it and who moved it by hand; and of this one, where it may have
   * run before. @throws TeselaError
   */
  async of(pid: string, caller: Caller): Promise<WhyMoved> {
    const { self, levelled, level, quiet } = this.p;
    const cpid = pid.includes(":") ? pid : `${self}:${pid}`;
    const row = (await this.p.ps()).find((r) => r.cpid === cpid);
    const [home = self, number = 0] = cpid.split(":").map(Number);
    if (!row && (home !== self || !existsSync(`/proc/${number}`)))
      throw new TeselaError("E_NOENT_PID", `there is no process ${cpid} that this node knows`, { pid: cpid });
    const others = caller.via !== null ? [] : [...new Set([row?.node ?? self, home])].filter((n) => n !== self);
    const answers = await Promise.all(others.map((n) => this.ask(n, cpid, caller, n === row?.node)));
    const elsewhere = answers.flatMap((a) => a?.decisions ?? []);
    const isHere = row === undefined || row.node === self;
    const there = answers.find((a) => a?.node === row?.node);
    const agoMs = (at: number): number => Math.max(0, Math.round(performance.now() - at));
    const here = this.p.decisions.of(home, number).map((l) => ({ ...l.decision, times: l.times, agoMs: agoMs(l.decision.atMs) }));
    return {
      ...{ cpid, node: row?.node ?? self },
      levelled: (home === self && levelled.has(number)) || answers.some((a) => a?.levelled),
      lock: (home === self && levelled.isLocked(number)) || answers.some((a) => a?.lock),
      ...(isHere ? { level: level(), quiet: quiet() } : { level: there?.level ?? true, quiet: there?.quiet ?? false }),
      ...(row?.mask !== undefined && { mask: row.mask }),
      ...(row?.job !== undefined && { job: row.job }),
      decisions: [...elsewhere, ...here].sort((a, b) => a.agoMs - b.agoMs),
    };
  }

  /** Null when it does not answer and need not. */
  private async ask(node: number, cpid: string, caller: Caller, needed: boolean): Promise<WhyMoved | null> {
    try {
      const signal = AbortSignal.timeout(ANSWER_MS);
      return (await this.p.members.control(node).question("POST /why", { pid: cpid }, caller, signal)) as WhyMoved;
    } catch (e) {
      if (needed) throw e;
      return null;
    }
  }
}
