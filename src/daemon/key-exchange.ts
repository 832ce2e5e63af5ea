import { type Log, type NodeId, type Paths, TeselaError, toTeselaError } from "../base/mod.ts";
import { checkKey, covers, departures, holdsCa, isLater, mayHave, type SignedKey } from "../cluster/mod.ts";
import { pick, type Random, shuffle } from "../io/mod.ts";
import { type Caller, ROOT } from "./authorize.ts";
import type { LiveKeys } from "./live-keys.ts";
import type { DialPeer, PeerControl } from "./peer.ts";
import type { Roster } from "./roster.ts";

/** What a teselad asks another one over the control stream; no command can ask it. */
export const KEYS = "keys";
const SELF: Caller = { uid: ROOT, gid: ROOT, via: null };
const ANSWER_MS = 4000;
/** At a start so many nodes are asked at once. */
const ASKED = 4;
/** Until then: who gives up on nodes that are merely busy may make a second new key. Where nobody runs that is known sooner. */
const START_MS = 4000;

/** `have`: the signature of the asker's key, or null. `key`: what the asker thinks is news. */
interface KeysAsk {
  readonly have: string | null;
  readonly key?: SignedKey;
}

export interface ExchangeParts {
  readonly paths: Paths;
  readonly self: NodeId;
  readonly keys: LiveKeys;
  readonly roster: Roster;
  readonly log: Log;
}

/** Nodes give one another the cluster's gossip key, over TLS, and only to those that may have it. */
export class KeyExchange {
  private readonly p: ExchangeParts;

  constructor(parts: ExchangeParts) {
    this.p = parts;
  }

  /** When nodes are gone that know the present key, a node that holds the CA's key makes another one. @returns whether it did */
  renewIfNeeded(): boolean {
    const { keys, roster, self, paths } = this.p;
    const gone = departures(roster.record.all());
    if (covers(keys.best, gone) || !roster.mayBe(self) || !holdsCa(paths.identity)) return false;
    keys.renew(roster.ca(), gone);
    return true;
  }

  /**
   * What another node asks. @param news called when it brought a key that is new here @throws TeselaError E_PROTOCOL; E_REFUSED from one that is
   * out: it has an old key, and who took that for the cluster's would make another new one as soon as it hears who is out.
   */
  answer(body: unknown, from: NodeId, news: () => void): { key: SignedKey | null } {
    const { keys, roster, self } = this.p;
    if (!roster.mayBe(self)) throw new TeselaError("E_REFUSED", `node ${self} is no member any more: ask another one`);
    const { have, key } = (body ?? {}) as { have?: unknown; key?: unknown };
    if (key !== undefined && this.take(checkKey(key), from)) news();
    const { best } = keys;
    return { key: best !== null && best.sig !== have && this.mayHave(best, from) ? best : null };
  }

  /** Both have the later one of their keys then. @returns whether it is new here @throws TeselaError when the other does not answer */
  async sync(other: PeerControl, signal: AbortSignal): Promise<boolean> {
    const { keys } = this.p;
    const { key } = (await other.question(KEYS, this.ask(), SELF, signal)) as { key?: unknown };
    const theirs = key === undefined || key === null ? null : checkKey(key);
    if (theirs !== null && this.take(theirs, other.node)) return true;
    if (theirs !== null && keys.best !== null && isLater(keys.best, theirs)) await this.give(other, signal);
    return false;
  }

  /** Who made it may not have known of all that are gone: whoever has the CA's key makes another one then. */
  private take(key: SignedKey, from: number): boolean {
    if (!this.p.keys.take(key, `node ${from}`)) return false;
    this.renewIfNeeded();
    return true;
  }

  /** A message that follows on the same stream comes after it. */
  push(other: PeerControl): void {
    this.give(other, AbortSignal.timeout(ANSWER_MS)).catch((e: unknown) => {
      this.p.log.debug("a node has not got the gossip key yet", { node: other.node, error: toTeselaError(e).message });
    });
  }

  private async give(other: PeerControl, signal: AbortSignal): Promise<void> {
    const { best } = this.p.keys;
    if (best === null || !this.mayHave(best, other.node)) return;
    await other.question(KEYS, { ...this.ask(), key: best }, SELF, signal);
  }

  private ask(): KeysAsk {
    return { have: this.p.keys.best?.sig ?? null };
  }

  private mayHave(key: SignedKey, node: number): boolean {
    const { record } = this.p.roster;
    return this.p.roster.mayBe(node) && mayHave(key, node, record.get(node)?.epoch ?? 0);
  }
}

/**
 * Before a node speaks to the others by gossip it asks some of them for the key: it may have been away while that was changed. When none answers,
 * it begins with the key that it has.
 */
export async function freshKeys(p: ExchangeParts & { readonly dial: DialPeer; readonly random: Random }): Promise<void> {
  const exchange = new KeyExchange(p);
  const others = p.roster.peers().filter((o) => o.id !== p.self);
  const end = new AbortController();
  const signal = AbortSignal.any([end.signal, AbortSignal.timeout(START_MS)]);
  const asked = shuffle(p.random, others).slice(0, ASKED);
  const refusals: string[] = [];
  const one = async (peer: (typeof others)[number]): Promise<void> => {
    try {
      const stream = await p.dial(peer, signal);
      try {
        await exchange.sync(stream, signal);
      } finally {
        stream.close();
      }
    } catch (e) {
      if (e instanceof TeselaError && e.code === "E_IDENTITY") refusals.push(e.message);
      throw e;
    }
  };
  try {
    if (asked.length > 0) await Promise.any(asked.map(one));
  } catch {
    // Nobody is there. Who is refused by all is probably no member any more, and cannot be told more than that.
    if (refusals.length > 0) p.log.warn("no other node accepts this one", { reason: pick(p.random, refusals) });
  } finally {
    end.abort();
  }
}
