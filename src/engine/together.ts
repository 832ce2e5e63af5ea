import { setTimeout as sleep } from "node:timers/promises";
import { TeselaError, toTeselaError } from "../base/mod.ts";
import { whatHappened, within } from "./guard.ts";
import type { HomeProcess, Told } from "./home-process.ts";
import type { Link } from "./links.ts";
import { all, AT_ONCE, mayMove, type Request, timeFor } from "./mover.ts";

/** Processes that are away together, before they move on or home: all of them stand, and nothing of them is under way. */

const BIRTH_POLL_MS = 1;

/** The deputies of a process, and of those that share its memory, are taken over for a move. @throws TeselaError */
export async function takeOver(request: Request, home: HomeProcess): Promise<HomeProcess[]> {
  const { mover, claims, uid } = request;
  const { stepMs } = mover.parts.carry;
  const taken = new Set<HomeProcess>();
  let abandoned = false;
  const late = (): HomeProcess[] => [...(home.group?.members ?? [home])].filter((p) => !taken.has(p));
  for (let fresh = late(); fresh.length > 0; fresh = late()) {
    for (const p of fresh) taken.add(p);
    const take = async (p: HomeProcess): Promise<void> => {
      const track = mover.tracks.of(p.pid);
      if (p !== home && !mayMove(uid, p.pid)) throw othersMember(home, p);
      // Its guest has to be there.
      while (track.beingBorn && p.phase !== "gone" && !abandoned) await sleep(BIRTH_POLL_MS);
      if (abandoned) return;
      claims.takeMember(track);
      await p.takeOver();
    };
    // One that has ended does not hold up the others.
    const unlessGone = (p: HomeProcess): Promise<void> =>
      take(p).catch((e: unknown) => {
        if (p === home || whatHappened(e, p.pid).code !== "E_GONE") throw e;
      });
    try {
      await within(timeFor(fresh.length, stepMs), all(fresh.map(unlessGone)), `process ${home.pid} does not stop`);
    } catch (e) {
      abandoned = true;
      throw e;
    }
  }
  return [home, ...[...taken].filter((p) => p !== home && p.phase !== "gone")];
}

const othersMember = (home: HomeProcess, { pid }: HomeProcess): TeselaError =>
  new TeselaError("E_CANTMOVE", `process ${home.pid} shares memory with process ${pid}, which is another user's`, {
    reasons: ["other_user"],
  });

/** Their guests stand before any of them is looked at. */
export async function freezeGuests(link: Link, homes: readonly HomeProcess[], stepMs: number): Promise<void> {
  if (homes.length === 1) return;
  for (let from = 0; from < homes.length; from += AT_ONCE) {
    const some = homes.slice(from, from + AT_ONCE);
    await link.asks.ask("freeze", { tickets: some.map((h) => h.ticket), rounds: some.map((h) => h.round) }, stepMs);
  }
}

/** A move of a process that is away has failed: its guest goes on where it is, if it still is. */
export async function stayAway(home: HomeProcess, link: Link, answerMs: number, cause: unknown): Promise<void> {
  home.giveUpTakeOver();
  if (home.phase !== "moving") return;
  try {
    const { ticket } = home;
    const thaw = (news: readonly Told[]): Promise<unknown> =>
      link.asks.ask("thaw", { ticket, round: home.round, news: news.map((n) => ({ ...n })) }, answerMs);
    await home.resumeAway(thaw);
  } catch (e) {
    home.kill(`it was lost when a move failed (${toTeselaError(cause).message}): ${toTeselaError(e).message}`);
  }
}

/** Where it runs. @throws TeselaError */
export function hostOf(home: HomeProcess | null, pid: number): { readonly home: HomeProcess; readonly link: Link } {
  if (!home?.host) throw new TeselaError("E_GONE", `process ${pid} has ended`);
  return { home, link: home.host as Link };
}
