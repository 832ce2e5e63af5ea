import type { Head } from "../wire/mod.ts";
import type { GuestProcess } from "./guest-process.ts";
import type { NodeFacts } from "./node-facts.ts";

/** What the next node is told of a guest before it goes there. */
export function offerOf(guest: GuestProcess, files: ReadonlyMap<string, { size: number }>, { cpu }: NodeFacts): Head<"offer"> {
  const { portable } = guest.options.origin;
  return {
    ticket: guest.ticket,
    home: guest.home,
    pid: guest.pid,
    vdso: guest.image.vdso?.hash ?? null,
    boot: guest.options.origin.clockName,
    // What else it has found here it may be using by now.
    cpu: portable ? [...guest.options.origin.cpu] : [...new Set([...guest.options.origin.cpu, ...cpu])],
    ...(portable && { portable }),
    bytes: guest.rss(),
    files: [...files].map(([hash, f]) => ({ hash, size: f.size })),
  };
}
