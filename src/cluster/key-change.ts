import type { Clock } from "../io/mod.ts";
import { Keyring } from "./seal.ts";

/** A node that has a new key seals with it after this: by then the others have it too, or nearly all. */
export const SWITCH_MS = 1000;
/** A former key opens nothing any more after this, counted from when the first key after it came. Who is out is out by then. */
export const DROP_MS = 3500;

/**
 * The keys of one node while they change: both open, first the old one seals and then the new one. Keys may follow one another faster than
 * that; the last one holds, and a former one is dropped in its own time whatever comes after it.
 */
export class KeyChange {
  private readonly clock: Clock;
  private best: Buffer;
  private sealing: Buffer;
  private switchAt = 0;
  private readonly old = new Map<string, { readonly secret: Buffer; readonly until: number }>();

  /** @param secrets the first one seals; all open until another key comes, and then for the usual time */
  constructor(clock: Clock, secrets: readonly [Buffer, ...Buffer[]]) {
    this.clock = clock;
    [this.best] = secrets;
    this.sealing = this.best;
    for (const secret of secrets.slice(1)) this.retire(secret, Number.POSITIVE_INFINITY);
  }

  /** There is a new key, which holds from now on. */
  begin(secret: Buffer): void {
    const until = this.clock.now() + DROP_MS;
    for (const [name, old] of this.old) if (old.until > until) this.old.set(name, { ...old, until });
    if (!this.old.has(this.best.toString("hex"))) this.retire(this.best, until);
    this.best = secret;
    this.old.delete(secret.toString("hex"));
    this.switchAt = this.clock.now() + SWITCH_MS;
  }

  /** Does what is due. @returns milliseconds until it has to be called again; null when nothing changes by itself */
  advance(): number | null {
    const now = this.clock.now();
    for (const [name, { until }] of this.old) if (until <= now) this.old.delete(name);
    if (now >= this.switchAt || !this.old.has(this.sealing.toString("hex"))) this.sealing = this.best;
    const due = [...this.old.values()].map((o) => o.until);
    if (this.sealing !== this.best) due.push(this.switchAt);
    const next = Math.min(...due);
    return Number.isFinite(next) ? Math.max(0, next - now) : null;
  }

  get ring(): Keyring {
    const others = [this.best, ...[...this.old.values()].map((o) => o.secret)].filter((secret) => !secret.equals(this.sealing));
    return new Keyring([this.sealing, ...others]);
  }

  private retire(secret: Buffer, until: number): void {
    this.old.set(secret.toString("hex"), { secret, until });
  }
}
