import type { EngineRow } from "./shapes.ts";

/** Moves of one process that follow one another within this time are a bounce more. */
const QUICK_MS = 60_000;

interface Stay {
  /** When it came here; null when it was here before anybody looked. */
  readonly since: number | null;
  /** The last time that it was seen here. */
  seen: number;
  readonly bounces: number;
}

/** For how long each process has been on this node, and how often it has come back to it quickly. */
export class Stays {
  private readonly self: number;
  private readonly stays = new Map<string, Stay>();
  /** Processes that left here, so that one which comes back soon is known. */
  private readonly left = new Map<string, { readonly at: number; readonly bounces: number }>();
  private first = true;

  constructor(self: number) {
    this.self = self;
  }

  /** @param rows the processes that run here now */
  keep(rows: readonly EngineRow[], now: number): void {
    for (const row of rows) {
      const known = this.stays.get(row.cpid);
      if (known) {
        known.seen = now;
        continue;
      }
      const before = this.left.get(row.cpid);
      this.left.delete(row.cpid);
      // One that began here has not come from anywhere.
      const arrived = !this.first && (row.home !== this.self || row.nmigs > 0);
      const bounces = before && now - before.at < QUICK_MS ? before.bounces + 1 : 0;
      this.stays.set(row.cpid, { since: arrived ? now : null, seen: now, bounces });
    }
    for (const [cpid, stay] of this.stays) {
      if (stay.seen === now) continue;
      this.stays.delete(cpid);
      this.left.set(cpid, { at: now, bounces: stay.bounces });
    }
    for (const [cpid, { at }] of this.left) if (now - at >= QUICK_MS) this.left.delete(cpid);
    this.first = false;
  }

  of(cpid: string, now: number): { readonly sinceMs: number; readonly bounces: number } {
    const stay = this.stays.get(cpid);
    if (stay) return { sinceMs: stay.since === null ? Number.POSITIVE_INFINITY : now - stay.since, bounces: stay.bounces };
    return { sinceMs: 0, bounces: 0 };
  }
}
