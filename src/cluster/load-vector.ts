import { type Clock, type Random, shuffle } from "../io/mod.ts";
import type { LoadEntry } from "./load-entry.ts";

/** An entry on its way: whose, of which life of that node, the how many-eth of it, and how old. */
export interface LoadItem {
  readonly id: number;
  readonly life: number;
  readonly seq: number;
  readonly ageMs: number;
  readonly entry: LoadEntry;
}

/** What a hop adds to the age of an entry: nobody measures it, and old is the safe side. */
const HOP_MS = 10;

interface Kept {
  readonly life: number;
  readonly seq: number;
  /** By the own clock. */
  readonly born: number;
  readonly entry: LoadEntry;
}

/**
 * What a node knows of the load of others, itself included (Barak's information vector). It holds what was heard within `maxAgeMs`: the more nodes,
 * the smaller the part of them that is known at any time, and the cost stays the same.
 */
export class LoadVector {
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly self: number;
  private readonly life: number;
  private readonly maxAgeMs: number;
  private readonly kept = new Map<number, Kept>();
  private seq = 0;

  constructor(o: { clock: Clock; random: Random; self: number; life: number; maxAgeMs: number }) {
    this.clock = o.clock;
    this.random = o.random;
    this.self = o.self;
    this.life = o.life;
    this.maxAgeMs = o.maxAgeMs;
  }

  setOwn(entry: LoadEntry): void {
    this.kept.set(this.self, { life: this.life, seq: ++this.seq, born: this.clock.now(), entry });
  }

  /** Takes an entry in when it is newer than what is known. Within a life of its node the count decides, between lives the age. */
  merge(item: LoadItem): boolean {
    const age = item.ageMs + HOP_MS;
    if (item.id === this.self || age > this.maxAgeMs) return false;
    const born = this.clock.now() - age;
    const old = this.kept.get(item.id);
    if (old !== undefined && (old.life === item.life ? item.seq <= old.seq : born <= old.born)) return false;
    this.kept.set(item.id, { life: item.life, seq: item.seq, born, entry: item.entry });
    return true;
  }

  /** Null when nothing is known, or nothing that is still good. */
  get(id: number): { readonly entry: LoadEntry; readonly ageMs: number } | null {
    const k = this.kept.get(id);
    const ageMs = k === undefined ? Number.POSITIVE_INFINITY : this.clock.now() - k.born;
    return k === undefined || ageMs > this.maxAgeMs ? null : { entry: k.entry, ageMs };
  }

  /** All that is known and still good, its own entry included. */
  *known(): Iterable<{ readonly id: number; readonly entry: LoadEntry; readonly ageMs: number }> {
    const now = this.clock.now();
    for (const [id, { born, entry }] of this.kept) if (now - born <= this.maxAgeMs) yield { id, entry, ageMs: now - born };
  }

  forget(id: number): void {
    this.kept.delete(id);
  }

  /** Its own entry and `most - 1` random ones of the freshest half. Lets go of old ones. */
  pick(most: number): LoadItem[] {
    const now = this.clock.now();
    const me = this.kept.get(this.self);
    const own: LoadItem[] = me === undefined ? [] : [{ id: this.self, life: me.life, seq: me.seq, ageMs: now - me.born, entry: me.entry }];
    if (most <= own.length) return own.slice(0, most);
    const others: LoadItem[] = [];
    for (const [id, k] of this.kept) {
      const ageMs = now - k.born;
      if (id === this.self) continue;
      if (ageMs > this.maxAgeMs) this.kept.delete(id);
      else others.push({ id, life: k.life, seq: k.seq, ageMs, entry: k.entry });
    }
    others.sort((a, b) => a.ageMs - b.ageMs);
    const half = others.slice(0, Math.ceil(others.length / 2));
    const room = Math.max(0, most - own.length);
    return [...own, ...(half.length > room ? shuffle(this.random, half).slice(0, room) : half)];
  }

  /** How many entries are kept, old ones included. */
  get size(): number {
    return this.kept.size;
  }
}
