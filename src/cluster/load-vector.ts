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
  /** The fresher half as of a moment, for the next message of the same moment; null when something has come since. */
  private fresh: { readonly at: number; readonly ids: number[] } | null = null;

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
    this.fresh = null;
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
    this.fresh = null;
  }

  /** Its own entry and `most - 1` random ones of the freshest half. Lets go of old ones. */
  pick(most: number): LoadItem[] {
    const now = this.clock.now();
    const own = this.kept.get(this.self);
    const out = own === undefined ? [] : [itemOf(this.self, own, now)];
    if (most <= out.length) return out.slice(0, most);
    if (this.fresh?.at !== now) this.fresh = { at: now, ids: this.freshest(now) };
    const fresh = this.fresh.ids;
    // As far as is needed of a shuffle (Fisher-Yates): this runs for each message.
    for (let i = 0; i < fresh.length && out.length < most; i++) {
      const at = i + this.random.int(fresh.length - i);
      const id = fresh[at] as number;
      fresh[at] = fresh[i] as number;
      const kept = this.kept.get(id);
      if (kept !== undefined) out.push(itemOf(id, kept, now));
    }
    return out;
  }

  /** The half of the others that was born last. Plain numbers are sorted, which is many times as fast as sorting entries by them. */
  private freshest(now: number): number[] {
    const born = new Float64Array(this.kept.size);
    const ids: number[] = [];
    for (const [id, k] of this.kept) {
      if (id === this.self) continue;
      if (now - k.born > this.maxAgeMs) this.kept.delete(id);
      else born[ids.push(id) - 1] = k.born;
    }
    const count = Math.ceil(ids.length / 2);
    const since = born.slice(0, ids.length).sort()[ids.length - count] ?? 0;
    const fresh: number[] = [];
    for (let i = 0; i < ids.length && fresh.length < count; i++) if ((born[i] as number) >= since) fresh.push(ids[i] as number);
    return fresh;
  }

  /** Up to so many by chance of those that are like that. */
  some(like: (id: number, entry: LoadEntry) => boolean, most: number): number[] {
    const all = [...this.known()].filter(({ id, entry }) => like(id, entry));
    return shuffle(this.random, all)
      .slice(0, most)
      .map(({ id }) => id);
  }

  /** It has begun another life, and is not what it was. */
  begins(id: number, life: number): void {
    if (this.kept.get(id)?.life !== life) this.forget(id);
  }

  /** How many entries are kept, old ones included. */
  get size(): number {
    return this.kept.size;
  }
}

const itemOf = (id: number, { life, seq, born, entry }: Kept, now: number): LoadItem => ({ id, life, seq, ageMs: now - born, entry });
