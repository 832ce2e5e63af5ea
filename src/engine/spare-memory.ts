import { giveBackMemory } from "../sys/mod.ts";
import { incoming, outgoing } from "../wire/mod.ts";

/** After so long without a process on its way: the next one may follow at once, and would have to get all of it again. */
const QUIET_MS = 1500;
let timer: NodeJS.Timeout | null = null;

/** The start, or a process that was carried, leaves memory behind that an engine which only answers calls does not need. */
export function giveBackSoon(): void {
  if (timer) timer.refresh();
  else timer = setTimeout(giveBack, QUIET_MS).unref();
}

function giveBack(): void {
  for (const pool of [incoming, outgoing]) pool.forget();
  giveBackMemory();
}
