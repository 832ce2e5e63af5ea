import { gossipPort, type Log, type NodeId, nodeId } from "../base/mod.ts";
import {
  type Contact,
  type GossipKnobs,
  type Keyring,
  type LoadEntry,
  type MemberState,
  Membership,
  type MemberView,
  SealedLink,
} from "../cluster/mod.ts";
import { type Datagrams, type Endpoint, realClock, systemRandom, UdpDatagrams } from "../io/mod.ts";
import type { NodeConfig, Peer } from "./config.ts";
import type { Seen, Watcher } from "./members.ts";
import type { NodeStatus } from "./peer.ts";
import { takesGuests } from "./verbs.ts";

/** A member whose load is not known yet counts as up all the same after this: in a large cluster not everybody tells everybody. */
const INTRODUCED_MS = 5000;

export interface GossipOptions {
  readonly self: NodeConfig;
  readonly keys: Keyring;
  /** Something came that is sealed with a key that is not known here, or says so. */
  readonly unknownKey: (id: NodeId) => void;
  /** Ends with the gossip. */
  readonly datagrams: Datagrams;
  /** What this node tells of itself; null: nothing now. */
  readonly status: () => NodeStatus | null;
  /** Whether those that are like this are told first. */
  readonly prefers?: (status: NodeStatus) => boolean;
  /** Whether a node may belong: those that left or were removed may not, though they hold the key. */
  readonly admits: (id: number) => boolean;
  /** A node is down, or was in between. */
  readonly lost: (id: number) => void;
  /** A node takes guests, which did not or was not there before. */
  readonly opened: (id: number) => void;
  readonly log: Log;
  readonly knobs: GossipKnobs;
}

const contactOf = ({ id, name, address, port }: Peer): Contact => ({ id, name, address, port, gossip: gossipPort(port) });

/** Where this node's gossip goes in and out: every address of its own, of the family that it is known by. @throws TeselaError E_CONFIG */
export function openGossip({ address, port }: Pick<Peer, "address" | "port">): Promise<Datagrams> {
  return UdpDatagrams.open({ address: address.includes(":") ? "::" : "0.0.0.0", port: gossipPort(port) });
}

/** Gossip of this node: membership over sealed UDP. */
export class Gossip implements Watcher, AsyncDisposable {
  private readonly o: GossipOptions;
  private readonly link: SealedLink;
  private readonly membership: Membership;
  private readonly last = new Map<number, { readonly status: LoadEntry; readonly heard: number; readonly life: number }>();
  /** Those that are up and take guests. */
  private readonly open = new Set<number>();
  private peers = new Set<number>();
  private ended = false;

  constructor(o: GossipOptions) {
    this.o = o;
    const { datagrams } = o;
    const clock = realClock;
    const random = systemRandom;
    const self = nodeId(o.self.id);
    const { keys, unknownKey } = o;
    this.link = new SealedLink({ self, keys, datagrams, clock, random, unknownKey, answerAt: (node, from) => this.answerAt(node, from) });
    this.membership = new Membership({
      self: contactOf(o.self),
      clock,
      random,
      knobs: o.knobs,
      entry: o.status,
      ...(o.prefers && { prefers: o.prefers }),
      send: ({ id, address, gossip: port }, message) => this.link.send({ id: nodeId(id), address, port }, message),
    });
    this.link.onMessage((message, id, from) => this.membership.receive(message, { id, ...from }));
    this.membership.onChange((m, was, restarted) => this.changed(m, was, restarted));
    this.membership.onLoad((id) => this.heard(id));
  }

  /** Nodes that are in no list any more are neither heard nor heard of. */
  setPeers(peers: readonly Peer[]): void {
    const now = new Set(peers.map((p) => p.id));
    for (const id of this.peers) {
      if (now.has(id)) continue;
      this.membership.remove(id);
      this.link.forget(id as NodeId);
      this.last.delete(id);
      this.open.delete(id);
    }
    this.peers = now;
    this.membership.setSeeds(peers.map(contactOf));
  }

  /** From now on these keys. */
  setKeys(keys: Keyring): void {
    this.link.setKeys(keys);
  }

  /** Something changed in what this node tells of itself that is not to wait. */
  tell(): void {
    this.membership.tellLoad();
  }

  /** All members with what is known of their load, and how old that is: what decisions are made from. */
  members(): MemberView[] {
    return this.membership.list().filter((m) => this.peers.has(m.id));
  }

  seen(id: number): Seen {
    const m = this.membership.get(id);
    const now = performance.now();
    if (m?.entry) this.last.set(id, { status: m.entry, heard: now - m.ageMs, life: m.life });
    const last = this.last.get(id);
    const { status = null } = last ?? {};
    const heard = last !== undefined && last.life === m?.life ? last.heard : null;
    const since = Date.now() - (m?.sinceMs ?? 0);
    const up = m !== null && isUp(m.state) && (status !== null || m.sinceMs > INTRODUCED_MS);
    return { state: up ? "up" : "down", status, heard, since };
  }

  /** Says goodbye. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.ended) return;
    this.ended = true;
    await this.membership.leave();
    await this.o.datagrams.close();
  }

  /** Where it is known to be; one that is not up may have moved. */
  private answerAt(node: NodeId, from: Endpoint): Endpoint | null {
    if (!this.o.admits(node) || !this.membership.admits(node)) return null;
    const m = this.membership.get(node);
    return m !== null && isUp(m.state) ? { address: m.address, port: m.gossip } : from;
  }

  private changed(m: MemberView, was: MemberState | null, restarted: boolean): void {
    const before = was !== null && isUp(was);
    if (restarted || !isUp(m.state)) this.open.delete(m.id);
    if (before && (restarted || !isUp(m.state))) {
      this.log(m, "down", restarted ? "it was started anew" : m.state === "left" ? "it said so" : "it does not answer");
      this.o.lost(m.id);
    }
    if (isUp(m.state) && (restarted || !before)) this.log(m, "up");
    this.heard(m.id);
  }

  private heard(id: number): void {
    const m = this.membership.get(id);
    if (m === null || !this.peers.has(id) || !isUp(m.state) || m.entry === null) return;
    if (!takesGuests(m.entry.flags)) this.open.delete(id);
    else if (!this.open.has(id)) {
      this.open.add(id);
      this.o.opened(id);
    }
  }

  private log({ id, name }: MemberView, state: "up" | "down", why?: string): void {
    if (this.peers.has(id)) this.o.log.info(`node ${id} is ${state}`, { node: id, name, ...(why !== undefined && { why }) });
  }
}

const isUp = (state: MemberState): boolean => state === "up" || state === "suspect";
