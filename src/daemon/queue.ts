import { type BalanceKnobs, lacking, type Needs, type NodeView, promised, roomiest, UNHEARD_MS } from "../balance/mod.ts";
import { humanBytes, TeselaError } from "../base/mod.ts";
import type { RoomAnswer } from "./shapes.ts";

/** Who has not asked for so long has gone away. */
const SILENT_MS = 5000;
/** So long memory is kept for a program that has begun and has not taken yet what it asked for. */
const KEPT_MS = 30_000;
/** Reasons that are told of, when no node has room. */
const MOST_TOLD = 4;

/** A program that wants room before it begins. */
export interface Want {
  readonly pid: number;
  readonly needs: Needs;
  /** The nodes that it may begin on. */
  readonly may: (node: number) => boolean;
  /** Where it runs fastest; otherwise at home where there is room. */
  readonly best: boolean;
  /** Milliseconds that it has waited already: teselad may have been restarted. */
  readonly waitedMs: number;
}

interface Waiter extends Want {
  readonly since: number;
  seen: number;
}

interface Grant {
  readonly pid: number;
  /** Its place in the line, if it waited. */
  readonly waiter: Waiter | null;
  readonly node: number;
  readonly needs: Needs;
  readonly at: number;
}

export interface QueueParts {
  readonly self: number;
  /** Whether a process is still there. */
  readonly alive: (pid: number) => boolean;
  /** Bytes that one of ours has by now, wherever it runs. */
  readonly rss: (pid: number) => number;
}

/**
 * Programs of this node that wait until a node has room (`tesela run -q`), first come, first served: nobody begins on a node that one before him
 * could use. Each asks again and again, so whoever ends is forgotten, and nothing is lost with teselad.
 */
export class Queue {
  private readonly p: QueueParts;
  private readonly waiting = new Map<number, Waiter>();
  private grants: Grant[] = [];

  constructor(parts: QueueParts) {
    this.p = parts;
  }

  /** One that does not wait. @throws TeselaError E_NOMEM, E_REFUSED when no node has room */
  take(want: Want, nodes: readonly NodeView[], now: number, k: BalanceKnobs): RoomAnswer {
    this.tidy(now);
    const places = nodes.filter((n) => want.may(n.id)).map((n) => this.withGrants(n, now));
    const node = this.choose(want, places, k);
    if (node === null) {
      const { rss } = want.needs;
      const code = places.some((n) => n.id === this.p.self || n.accepts) ? "E_NOMEM" : "E_REFUSED";
      throw new TeselaError(code, `no node has ${humanBytes(rss)} of free memory: ${this.reasons(want, places, k)}`);
    }
    return this.grant(want, node, now);
  }

  /** One that waits, again. */
  ask(want: Want, nodes: readonly NodeView[], now: number, k: BalanceKnobs): RoomAnswer {
    const known = this.waiting.get(want.pid);
    this.waiting.set(want.pid, { ...want, since: known?.since ?? now - want.waitedMs, seen: now });
    this.tidy(now);
    const line = [...this.waiting.values()].sort((a, b) => a.since - b.since || a.pid - b.pid);
    let open = nodes.map((n) => this.withGrants(n, now));
    for (const [at, w] of line.entries()) {
      const places = open.filter((n) => w.may(n.id));
      const node = this.choose(w, places, k);
      if (w.pid === want.pid) {
        if (node !== null) return this.grant(w, node, now);
        return { node: null, place: at + 1, waiting: line.length, why: places.length > 0 ? this.reasons(w, places, k) : whyBehind(at) };
      }
      // It begins there as soon as it asks; or it waits for all of them.
      if (node !== null) open = open.map((n) => (n.id === node ? promised(n, w.needs) : n));
      else open = open.filter((n) => !w.may(n.id));
    }
    throw new TeselaError("E_INTERNAL", `process ${want.pid} waits in no line`);
  }

  private choose(want: Want, places: readonly NodeView[], k: BalanceKnobs): number | null {
    const { self } = this.p;
    const fit = places.filter((n) => lacking(n, want.needs, n.id === self, k) === null);
    if (!want.best && fit.some((n) => n.id === self)) return self;
    return roomiest(fit, want.needs)?.id ?? null;
  }

  private grant({ pid, needs }: Want, node: number, at: number): RoomAnswer {
    this.grants.push({ pid, waiter: this.waiting.get(pid) ?? null, node, needs, at });
    this.waiting.delete(pid);
    return { node };
  }

  /** The node says that it has no room after all: as if it had not been promised. */
  takeBack(pid: number): void {
    const grant = this.grants.find((g) => g.pid === pid);
    this.grants = this.grants.filter((g) => g !== grant);
    if (grant?.waiter) this.waiting.set(pid, grant.waiter);
  }

  /** A node as it will be when those have begun that were promised room there. */
  private withGrants(n: NodeView, now: number): NodeView {
    const there = this.grants.filter((g) => g.node === n.id);
    const tasks = there.reduce((sum, g) => sum + (now - g.at < UNHEARD_MS ? g.needs.tasks : 0), 0);
    const rss = there.reduce((sum, g) => sum + Math.max(0, g.needs.rss - this.p.rss(g.pid)), 0);
    return there.length === 0 ? n : promised(n, { tasks, rss });
  }

  private reasons({ needs }: Want, places: readonly NodeView[], k: BalanceKnobs): string {
    const all = places.flatMap((n) => lacking(n, needs, n.id === this.p.self, k) ?? []);
    if (all.length === 0) return "none that it may begin on is up";
    return all.slice(0, MOST_TOLD).join(", ") + (all.length > MOST_TOLD ? " and so on" : "");
  }

  private tidy(now: number): void {
    for (const [pid, { seen }] of this.waiting) if (now - seen > SILENT_MS || !this.p.alive(pid)) this.waiting.delete(pid);
    this.grants = this.grants.filter((g) => now - g.at < KEPT_MS && this.p.alive(g.pid));
  }
}

const whyBehind = (before: number): string =>
  before === 0 ? "none that it may begin on is up" : "others wait for the same nodes before it";
