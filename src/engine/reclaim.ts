import { setTimeout as sleep } from "node:timers/promises";
import { toTeselaError } from "../base/mod.ts";
import { ALPN } from "../io/mod.ts";
import { Inbox } from "./carry.ts";
import type { Group, Stay } from "./group.ts";
import { type Mover, OPEN_MS } from "./mover.ts";

const RETRY_MS = 200;

/**
 * All of a group have ended away from home, or are other programs. What they shared has a name: it is fetched, and who waits for it is
 * let in. The group is over then, whatever came of it.
 */
export async function reclaim(mover: Mover, group: Group, stay: Stay): Promise<void> {
  const { log, carry } = mover.parts;
  try {
    for (let left = carry.answerMs; ; left -= RETRY_MS) {
      // With the link goes all that is kept for us.
      stay.link.mustLive();
      try {
        await fetch(mover, group, stay);
        break;
      } catch (e) {
        if (left <= 0 || toTeselaError(e).code === "E_GONE") throw e;
        log.warn("shared memory is not home yet, trying again", { node: stay.link.node, error: toTeselaError(e).message });
        await sleep(RETRY_MS);
      }
    }
  } catch (e) {
    log.error("shared memory of processes that have ended is lost", { node: stay.link.node, error: toTeselaError(e).message });
  } finally {
    group[Symbol.dispose]();
    forget(mover, stay);
  }
}

async function fetch(mover: Mover, group: Group, { link, name }: Stay): Promise<void> {
  const { stepMs } = mover.parts.carry;
  const channel = await mover.parts.transport.connect(mover.peer(link.node), ALPN.BULK, { timeoutMs: OPEN_MS });
  try {
    const inbox = new Inbox(channel);
    group.prepare();
    channel.send("fetchShared", { group: name, objects: group.objects.map((o) => o.name) });
    for (;;) {
      const m = await inbox.next("shared memory", stepMs, "shared", "end");
      if (m.type === "end") break;
      group.write(m.head.name, m.head.at, m.payload);
    }
    channel.close();
  } catch (e) {
    channel.close(toTeselaError(e));
    throw e;
  }
}

/** The node need not keep any more what a group shares. */
export function forget({ parts }: Mover, { link, name }: Stay): void {
  link.asks.ask("forget", { group: name }, parts.carry.answerMs).catch((e: unknown) => {
    parts.log.info("a node was not told what to forget", { node: link.node, error: toTeselaError(e).message });
  });
}
