import { describeArguments, describeFilled, describeResult, type GuestMemory, type Plan, planCall } from "../forward/mod.ts";
import { ptrace } from "../sys/mod.ts";
import { FOREIGN_CALL } from "./filter.ts";
import type { Guest } from "./guest.ts";
import { ofShared } from "./shared-calls.ts";
import { touchesOwnPages } from "./own-pages.ts";

/** A call of a guest that somebody watches, as it travels home: texts are cut where they are made. */
export interface TracedCall {
  readonly nr: number;
  readonly args: readonly string[];
  /** `?` where the node's own kernel makes the call, or it is made again. */
  readonly result: string;
  /** Who answered: `home`, `engine`, `here` (the node's own kernel), or `back` (it went home to repeat it there). */
  readonly route: string;
  /** The calls of the deputy that it took. */
  readonly seqs: readonly number[];
  /** Milliseconds since 1970, and how long it took as the guest saw it. */
  readonly at: number;
  readonly ms: number;
}

/** Calls are sent together, at the latest after so long or when there are so many. */
const FLUSH_MS = 10;
const FLUSH_CALLS = 32;
/** More wait for nobody: they are counted and lost. */
const MAX_WAITING = 4096;

interface Begun {
  readonly nr: number;
  readonly registers: readonly bigint[];
  readonly args: string[];
  readonly at: number;
  readonly start: number;
  readonly seqs: number[];
  route: string;
}

/** Writes down the calls of one guest. It exists only while they are watched. */
export class CallTrace {
  private readonly memory: GuestMemory;
  private readonly send: (calls: readonly TracedCall[], lost: number) => Promise<unknown>;
  private begun: Begun | null = null;
  private waiting: TracedCall[] = [];
  private lost = 0;
  private sending = false;
  private timer: NodeJS.Timeout | null = null;

  constructor(memory: GuestMemory, send: (calls: readonly TracedCall[], lost: number) => Promise<unknown>) {
    this.memory = memory;
    this.send = send;
  }

  /** A call has stopped the guest, and this is to be done for it. */
  begin(nr: number, registers: readonly bigint[], plan: Plan): void {
    // The last one is made again, or this node's kernel has made it in the end.
    this.end(null);
    this.begun = {
      nr,
      registers: [...registers],
      args: describeArguments(nr, registers, this.memory),
      at: Date.now(),
      start: performance.now(),
      seqs: [],
      route: ROUTES[plan.kind],
    };
    if (plan.kind === "local") this.end(null);
    if (plan.kind === "back") this.end(null, `? (${plan.reason})`);
  }

  /** Home makes a call for it. */
  flew(seq: number): void {
    if (!this.begun) return;
    this.begun.seqs.push(seq);
    if (this.begun.route === "engine") this.begun.route = "home";
  }

  /** It is over; `null` where the result is not known here. */
  end(result: bigint | null, why?: string): void {
    const { begun } = this;
    if (!begun) return;
    this.begun = null;
    if (result !== null) for (const [i, text] of describeFilled(begun.nr, begun.registers, result, this.memory)) begun.args[i] = text;
    this.add({
      nr: begun.nr,
      args: begun.args.map((a) => a.slice(0, MAX_ARGUMENT)),
      result: why ?? (result === null ? "?" : describeResult(result)),
      route: begun.route,
      seqs: begun.seqs,
      at: begun.at,
      ms: performance.now() - begun.start,
    });
  }

  private add(call: TracedCall): void {
    if (this.waiting.length >= MAX_WAITING) {
      this.lost++;
      return;
    }
    this.waiting.push(call);
    if (this.waiting.length >= FLUSH_CALLS) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), FLUSH_MS);
  }

  /** Its guest ends. */
  close(): void {
    this.end(null);
    this.flush();
  }

  /** One parcel at a time is on its way: who watches a busy program slowly loses calls, and does not hold it up. */
  private flush(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    if (this.sending || this.waiting.length === 0) return;
    const calls = this.waiting.splice(0, FLUSH_CALLS);
    const { lost } = this;
    this.lost = 0;
    this.sending = true;
    this.send(calls, lost)
      .catch(() => {
        // Nobody watches any more, or the link has gone: so do the calls.
        this.waiting = [];
      })
      .finally(() => {
        this.sending = false;
        if (this.waiting.length > 0) this.flush();
      });
  }
}

/** What is to be done for the call that has stopped a guest; who watches it is told. */
export function planWatched(guest: Guest, nr: number, rest: Plan | null): Plan {
  const { args } = guest.regs;
  const its =
    forbidden(guest.tid, nr, args) ?? rest ?? ofShared(guest, nr, args) ?? planCall(nr, args, guest.memory, guest.area, guest.context);
  const plan = guest.ahead.known(nr, its, guest.area.base, guest.memory);
  // Another than its own comes before it, and it is made again.
  if (plan === its || plan.kind !== "forward") guest.trace?.begin(nr, args, plan);
  return plan;
}

/** Calls that are not what their number says, and those that would change the engine's own pages: home makes them, where it has the process. */
function forbidden(tid: number, nr: number, args: readonly bigint[]): Plan | null {
  if (Number(ptrace.eventMessage(tid)) === FOREIGN_CALL) return { kind: "back", reason: "code_32bit" };
  return touchesOwnPages(nr, args) ? { kind: "back", reason: "low_address" } : null;
}

const ROUTES: Readonly<Record<Plan["kind"], string>> = {
  forward: "home",
  answer: "engine",
  local: "here",
  back: "back",
  engine: "engine",
};
const MAX_ARGUMENT = 600;
