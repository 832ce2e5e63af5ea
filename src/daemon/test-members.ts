/** What stands for other nodes in tests. */
import { TeselaError } from "../base/mod.ts";
import type { Peer } from "./config.ts";
import type { Seen, Watcher } from "./members.ts";
import type { NodeStatus, PeerControl } from "./peer.ts";
import type { NodeState } from "./shapes.ts";
import { strangeToAll } from "./test-peers.ts";

export const someStatus: NodeStatus = { cpus: 2, speed: 10_000, load: 0.5, memTotal: 8, memFree: 4, guests: 1, away: 0, flags: [] };

/** Nodes are as the test says; down unless it does. */
export class FakeWatcher implements Watcher {
  readonly states = new Map<number, NodeState>();
  peers: number[] = [];

  seen(id: number): Seen {
    return { state: this.states.get(id) ?? "down", status: someStatus, heard: performance.now(), since: 0 };
  }
  setPeers(peers: readonly Peer[]): void {
    this.peers = peers.map((p) => p.id);
  }
}

/** Answers nothing but how it is. */
export const fakePeer: PeerControl = {
  ...strangeToAll,
  status: () => Promise.resolve(someStatus),
  processes: () => Promise.resolve([]),
  migrate: () => Promise.reject(new TeselaError("E_INTERNAL", "not here")),
  question: () => Promise.reject(new TeselaError("E_USAGE", "not asked here")),
  close: () => undefined,
  closed: new Promise(() => undefined),
};
