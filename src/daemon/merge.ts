import type { EngineRow, ProcessRow } from "./shapes.ts";

/**
 * One row a process out of what all nodes say. Home knows what it is and is told by the host how it runs, a little later than the host
 * knows it. A guest whose home does not answer is shown as its host knows it.
 */
export function mergeRows(rows: readonly EngineRow[]): ProcessRow[] {
  const byCpid = new Map<string, { home?: EngineRow; guest?: EngineRow }>();
  for (const row of rows) {
    const entry = byCpid.get(row.cpid) ?? {};
    // Two hosts at once can only be a move that is just happening: the newer one counts.
    if (row.role === "home") entry.home = row;
    else if (!entry.guest || (row.since ?? 0) >= (entry.guest.since ?? 0)) entry.guest = row;
    byCpid.set(row.cpid, entry);
  }
  return [...byCpid.values()].flatMap((e) => join(e.home, e.guest)).sort((a, b) => a.home - b.home || a.pid - b.pid);
}

function join(home: EngineRow | undefined, guest: EngineRow | undefined): ProcessRow[] {
  const known = home ?? guest;
  if (!known) return [];
  const { role: _, since: __, ...row } = known;
  if (!home || !guest || guest.node !== home.node) return [row];
  return [{ ...row, cpu: Math.max(home.cpu, guest.cpu), rss: guest.rss }];
}
