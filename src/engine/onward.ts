import type { PeerAddress } from "../io/mod.ts";
import { step } from "./faults.ts";
import type { HomeProcess } from "./home-process.ts";
import { fewAtOnce, letRun, type Moved, movedAway, OPEN_MS, type Request } from "./mover.ts";
import { forget } from "./reclaim.ts";
import { freezeGuests, hostOf, stayAway, takeOver } from "./together.ts";

const SEND_MS = 120_000;

/** A process goes on from one node to another, and with it those that share its memory: all of them or none. @throws TeselaError */
export async function moveOn(request: Request, to: PeerAddress): Promise<Moved> {
  const { mover, lead } = request;
  const { carry } = mover.parts;
  const { home, link: source } = hostOf(lead.process, lead.pid);
  const link = await mover.links.get(to, OPEN_MS);
  const start = performance.now();
  let homes: readonly HomeProcess[] = [home];
  let bytes: number;
  // Of this arrival: what is left there of an earlier one is another.
  const name = home.group && `${mover.ticket()}`;
  // Should it end meanwhile, the others are still those.
  const { group } = home;
  try {
    homes = await takeOver(request, home);
    await freezeGuests(source, homes, carry.stepMs);
    const sent = await fewAtOnce(homes, (one) => {
      const objects = one === home ? (group?.objects ?? []).map((o) => o.name) : [];
      return source.asks.ask(
        "send",
        { ticket: one.ticket, round: one.round, node: to.node, ...(name && { group: name, objects }) },
        SEND_MS,
      );
    });
    bytes = sent.reduce<number>((sum, n) => sum + Number(n), 0);
    await step(carry.faults, "go");
    for (const one of homes) one.host = link;
    await letRun(
      mover,
      link,
      homes.map((one) => ({ home: one })),
      source.node,
      group?.isNamed ? name : null,
    );
    link.mustLive();
    if (group?.stay && name) {
      forget(mover, group.stay);
      group.stay = { link, name };
    }
  } catch (e) {
    if (group?.isNamed && name) forget(mover, { link, name });
    for (const one of new Set([...homes, ...(group?.members ?? [])])) {
      one.host = source;
      link.drop(one.ticket);
      await stayAway(one, source, carry.answerMs, e);
    }
    throw e;
  }
  for (const one of homes) source.drop(one.ticket);
  // From here on there is no way back: one that cannot go with the others has ended.
  const gone = await Promise.allSettled(homes.map((one) => one.redirect(link)));
  return movedAway(
    homes.map((one) => ({ home: one })),
    gone,
    `it could not go on from node ${source.node}`,
    {
      tracks: homes.flatMap((one) => (one.phase === "gone" ? [] : (mover.tracks.find(one.pid) ?? []))),
      bytes,
      freezeMs: performance.now() - start,
    },
  );
}
