import { setTimeout as sleep } from "node:timers/promises";
import { MiB, TeselaError, toTeselaError } from "../../base/mod.ts";
import type { DaemonClient, RoomAnswer, RoomAsk } from "../../daemon/mod.ts";
import { type Invocation, lastValue } from "../command.ts";
import { write } from "../out.ts";
import { wholeNumber } from "../parse.ts";

/** How often it is asked whether there is room by now. */
const AGAIN_MS = 500;
/** Who waits for longer is told so. */
const SAY_MS = 3000;
/** teselad may be restarted while somebody waits. */
const SILENT_MS = 30_000;
const MOST_MB = 1_000_000_000;
const AWAY: ReadonlySet<string> = new Set(["E_NODAEMON", "E_LINK", "E_TIMEOUT"]);
/** There was room when it was asked, and then there was not. */
const TAKEN: ReadonlySet<string> = new Set(["E_REFUSED", "E_NOMEM", "E_NODE_DOWN", "E_LINK", "E_TIMEOUT"]);

/** What -m and -q ask for. */
export interface Room {
  readonly memory: number;
  readonly queue: boolean;
}

/** Null when nothing is asked for. @throws TeselaError E_USAGE */
export function readRoom(call: Invocation): Room | null {
  const queue = call.switches.has("queue");
  if (!queue && lastValue(call, "memory") === undefined) return null;
  return { memory: wholeNumber(call, "memory", 0, 1, MOST_MB) * MiB, queue };
}

/**
 * Begins where there is room. With a queue it waits for that: first come, first served, until ^C.
 * @param begin tells teselad that the program begins on a node
 */
export async function beginInRoom(
  client: DaemonClient,
  ask: Omit<RoomAsk, "waitedMs">,
  begin: (node: string) => Promise<unknown>,
): Promise<void> {
  const wait = new Wait();
  for (;;) {
    const answer = await wait.ask(() => client.room({ ...ask, waitedMs: wait.ms }));
    // It was ended while it waited, and nobody is there to be told.
    if (answer === "gone") return;
    if (answer?.node != null) {
      try {
        await begin(String(answer.node));
        return;
      } catch (e) {
        if (!ask.queue || !TAKEN.has(toTeselaError(e).code)) throw e;
      }
    }
    if (answer?.node === null) wait.say(answer);
    await sleep(AGAIN_MS);
  }
}

class Wait {
  private readonly begun = performance.now();
  /** When teselad last answered; null before the first time. */
  private heard: number | null = null;
  private said = false;

  get ms(): number {
    return Math.round(performance.now() - this.begun);
  }

  /** Null while teselad is away that has answered before. */
  async ask(room: () => Promise<RoomAnswer>): Promise<RoomAnswer | "gone" | null> {
    try {
      const answer = await room();
      this.heard = performance.now();
      return answer;
    } catch (e) {
      if (e instanceof TeselaError && e.code === "E_NOENT_PID") return "gone";
      const forNow = e instanceof TeselaError && AWAY.has(e.code) && this.heard !== null && performance.now() - this.heard < SILENT_MS;
      if (!forNow) throw e;
      return null;
    }
  }

  say({ place, waiting, why }: Extract<RoomAnswer, { node: null }>): void {
    if (this.said || this.ms < SAY_MS) return;
    this.said = true;
    write(2, `tesela: waits in the queue, number ${place} of ${waiting}: ${why}\n`);
  }
}
