import { TeselaError } from "../base/mod.ts";
import type { Peer } from "./config.ts";
import { OnDemand, STREAM_TIMES, type StreamTimes } from "./on-demand.ts";
import type { DialPeer, NodeStatus, PeerControl } from "./peer.ts";
import type { NodeState } from "./shapes.ts";

/** How a node is, as whoever watches it knows. */
export interface Seen {
  readonly state: NodeState;
  /** The last that was heard; null before the first time. */
  readonly status: NodeStatus | null;
  /** When that was, in milliseconds of this process's own clock; null too when it has been started anew since. */
  readonly heard: number | null;
  /** Milliseconds of the Unix epoch at which the state began. */
  readonly since: number;
}

export interface Member extends Seen {
  readonly peer: Peer;
}

/** Knows who is up, and how busy: gossip. */
export interface Watcher {
  seen(id: number): Seen;
  /** The nodes of the cluster, this one excepted. */
  setPeers(peers: readonly Peer[]): void;
}

/** The other nodes: how they are, and streams to ask them over. */
export class Members implements AsyncDisposable {
  private readonly self: number;
  private readonly dial: DialPeer;
  private readonly watcher: Watcher;
  private readonly times: StreamTimes;
  private readonly peers = new Map<number, { readonly peer: Peer; readonly control: OnDemand }>();

  constructor(self: number, dial: DialPeer, watcher: Watcher, times: StreamTimes = STREAM_TIMES) {
    this.self = self;
    this.dial = dial;
    this.watcher = watcher;
    this.times = times;
  }

  /** The membership as it is now; streams to nodes that are gone or elsewhere now are closed. */
  set(peers: readonly Peer[]): void {
    const wanted = peers.filter((p) => p.id !== this.self);
    const old = new Map(this.peers);
    this.peers.clear();
    for (const peer of wanted) {
      const known = old.get(peer.id);
      const same = known !== undefined && known.peer.address === peer.address && known.peer.port === peer.port;
      this.peers.set(peer.id, { peer, control: same ? known.control : new OnDemand(peer, this.dial, this.times) });
      if (same) old.delete(peer.id);
    }
    for (const { control } of old.values()) control.close();
    this.watcher.setPeers(wanted);
  }

  list(): Member[] {
    const all = [...this.peers.values()].sort((a, b) => a.peer.id - b.peer.id);
    return all.map(({ peer }) => ({ ...this.watcher.seen(peer.id), peer }));
  }

  /** All numbers, this node's too. */
  numbers(): number[] {
    return [this.self, ...this.peers.keys()];
  }

  /** By number, name or address. */
  find(text: string): Member | undefined {
    return this.list().find(({ peer }) => String(peer.id) === text || peer.name === text || peer.address === text);
  }

  /** @throws TeselaError E_NONODE, E_NODE_DOWN */
  control(id: number): PeerControl {
    const known = this.peers.get(id);
    if (!known) throw new TeselaError("E_NONODE", `there is no node ${id}`, { node: id });
    if (this.watcher.seen(id).state === "down") throw nodeDown(known.peer);
    return known.control;
  }

  /** Those that are up, to be asked all at once. */
  controls(): PeerControl[] {
    return [...this.peers.values()].flatMap(({ peer, control }) => (this.watcher.seen(peer.id).state === "up" ? [control] : []));
  }

  /** All of them, whatever is known of how they are. */
  everybody(): PeerControl[] {
    return [...this.peers.values()].map(({ control }) => control);
  }

  /** A node is down: whoever waits for its answer need not. */
  lost(id: number): void {
    this.peers.get(id)?.control.drop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { control } of this.peers.values()) control.close();
  }
}

export const nodeDown = (peer: Pick<Peer, "id" | "name" | "address">): TeselaError =>
  new TeselaError("E_NODE_DOWN", `node ${peer.id} (${peer.name}, ${peer.address}) is down`, { node: peer.id });
