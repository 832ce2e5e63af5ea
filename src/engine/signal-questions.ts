import { TeselaError } from "../base/mod.ts";
import type { Data } from "../wire/mod.ts";
import { bigintOf, numberOf } from "./asks.ts";
import type { HomeThread } from "./home-thread.ts";
import type { HomeSide, Link } from "./links.ts";
import { siginfoOf } from "./signals.ts";

type Params = Record<string, Data | undefined>;

/** What a host asks of a home where a process's blocked signals wait (src/engine/signals-at-home.ts). */
export function signalQuestions(find: (ticket: number) => HomeThread | undefined): HomeSide["asks"] {
  const known = (link: Link, p: Params): HomeThread => {
    const thread = find(numberOf(p, "ticket"));
    if (thread?.process.host !== link || !thread.process.signalsAtHome) throw new TeselaError("E_GONE", "there is no such process here");
    return thread;
  };
  const infos = (p: Params): Buffer[] => (Array.isArray(p.back) ? p.back.map((info) => siginfoOf(info as Uint8Array)) : []);
  return {
    letIn: (link) => async (p) => {
      const thread = known(link, p);
      await thread.process.borne.letIn(thread, bigintOf(p.mask), infos(p));
      return null;
    },
    // Also in the middle of a move: it comes to its queue where the process goes on.
    stay: (link) => (p) => {
      const thread = known(link, p);
      thread.process.borne.stay(thread, infos(p));
      return null;
    },
  };
}
