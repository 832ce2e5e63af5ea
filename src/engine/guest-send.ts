import { TeselaError } from "../base/mod.ts";
import { ALPN, type PeerAddress, type Transport } from "../io/mod.ts";
import { type CarryOptions, Inbox, offer, sendFrozen } from "./carry.ts";
import type { FileCache } from "./file-cache.ts";
import { whatHappened } from "./guard.ts";
import { captureGuest, readGuestLayout } from "./guest-capture.ts";
import { offerOf } from "./guest-offer.ts";
import type { GuestProcess } from "./guest-process.ts";
import type { NodeFacts } from "./node-facts.ts";

/** What home wants of a guest. */
export interface Wanted {
  /** Memory of its group that is sent with this one. */
  readonly shared: readonly string[];
  readonly round: number | undefined;
}

interface Parts {
  readonly cache: FileCache;
  readonly transport: Transport;
  readonly facts: NodeFacts;
  readonly carry: CarryOptions;
  /** The nodes of the cluster, as this node knows them. */
  readonly peers: () => readonly PeerAddress[];
}

/** A guest that stands goes down a line. @returns bytes @throws TeselaError E_GONE when it ends meanwhile: at home it may have become another program */
export async function sendGuest(inbox: Inbox, guest: GuestProcess, { shared, round }: Wanted, parts: Parts): Promise<number> {
  const { cache, facts, carry } = parts;
  try {
    await guest.freeze(round);
    const layout = readGuestLayout(guest, cache);
    const image = captureGuest(guest, layout);
    const source = { task: guest.leader.tid, offer: offerOf(guest, layout.files, facts), files: layout.files };
    const objects = guest.options.memory?.named(shared) ?? [];
    return await sendFrozen(inbox, source, { image, layout, objects }, carry);
  } catch (e) {
    throw whatHappened(e, guest.leader.tid);
  }
}

/** Sends a guest on to a third node; home decides afterwards which of the two runs. @returns bytes @throws TeselaError */
export async function sendOn(guest: GuestProcess, node: number, group: string | null, wanted: Wanted, parts: Parts): Promise<number> {
  const { transport, carry, peers, cache, facts } = parts;
  // Where it is, this node has been told by the cluster: a home must not have us connect to any address that it likes.
  const to = peers().find((p) => p.node === node);
  if (!to) throw new TeselaError("E_NONODE", `node ${facts.node} knows no node ${node}`);
  const channel = await transport.connect(to, ALPN.BULK, { timeoutMs: carry.stepMs });
  try {
    const inbox = new Inbox(channel);
    const layout = readGuestLayout(guest, cache);
    const its = { ...offerOf(guest, layout.files, facts), ...(group !== null && { group }) };
    await offer(inbox, { task: guest.leader.tid, offer: its, files: layout.files }, carry);
    const sent = await sendGuest(inbox, guest, wanted, parts);
    channel.close();
    return sent;
  } catch (e) {
    const error = whatHappened(e, guest.leader.tid);
    channel.close(error);
    throw error;
  }
}
