/** A cluster of memberships in virtual time, for tests: the network is that of src/io, without seals unless asked for. */
import { type NodeId, nodeId } from "../base/mod.ts";
import { DatagramNetwork, SeededRandom, VirtualClock, type Weather } from "../io/mod.ts";
import { type GossipKnobs, LAN } from "./gossip-knobs.ts";
import type { MemberState } from "./gossip-message.ts";
import type { LoadEntry } from "./load-entry.ts";
import { type Contact, Membership } from "./membership.ts";
import { Keyring } from "./seal.ts";
import { SealedLink } from "./sealed-link.ts";

export const PORT = 5428;
export const contact = (id: number): Contact => ({
  id,
  name: `h${id}`,
  address: `10.0.${id >> 8}.${id & 0xff}`,
  port: 4660,
  gossip: PORT,
});
export const entryOf = (id: number, load = 0): LoadEntry => ({
  cpus: 2,
  speed: 10_000,
  load,
  memTotal: id * 4096,
  memFree: 4096,
  guests: 0,
  away: 0,
  flags: [],
});

interface Running {
  readonly membership: Membership;
  readonly close: () => void;
}

export interface TestGossipOptions {
  readonly seed?: number;
  readonly weather?: Partial<Weather>;
  readonly knobs?: GossipKnobs;
  readonly sealed?: boolean;
}

const ring = new Keyring([Buffer.alloc(32, 7)]);

export class TestGossip {
  readonly clock = new VirtualClock();
  readonly network: DatagramNetwork;
  readonly nodes = new Map<number, Running>();
  readonly changes: string[] = [];
  readonly loads = new Map<number, number>();
  /** Of nodes that are started from then on. */
  prefers: ((load: LoadEntry) => boolean) | undefined;
  private readonly random: SeededRandom;
  private readonly o: TestGossipOptions;

  constructor(o: TestGossipOptions = {}) {
    this.o = o;
    this.random = new SeededRandom(o.seed ?? 1);
    this.network = new DatagramNetwork({
      clock: this.clock,
      random: new SeededRandom((o.seed ?? 1) + 1),
      ...(o.weather && { weather: o.weather }),
    });
  }

  /** Starts a node, which was not running. */
  start(id: number, seeds: readonly number[]): Membership {
    const { clock, network, o } = this;
    const self = contact(id);
    const end = network.open({ address: self.address, port: PORT });
    const random = new SeededRandom(this.random.int(2 ** 32));
    const answerAt = (node: NodeId): Contact => contact(node);
    const link = o.sealed
      ? new SealedLink({ self: nodeId(id), keys: ring, datagrams: end, clock, random, answerAt: (n) => ({ ...answerAt(n), port: PORT }) })
      : null;
    const membership = new Membership({
      self,
      seeds: seeds.map(contact),
      clock,
      random,
      knobs: o.knobs ?? LAN,
      entry: () => entryOf(id, this.loads.get(id)),
      ...(this.prefers && { prefers: this.prefers }),
      send: (to, message) => {
        if (link !== null) link.send({ id: nodeId(to.id), address: to.address, port: to.gossip }, message);
        else end.send({ address: to.address, port: to.gossip }, message);
      },
    });
    if (link !== null) link.onMessage((m, from, at) => membership.receive(m, { id: from, ...at }));
    else end.onDatagram((m, at) => membership.receive(m, { id: idOf(at.address), ...at }));
    membership.onChange((m, was, restarted) => this.changes.push(`${id}: ${m.id} ${was} ${m.state}${restarted ? " again" : ""}`));
    this.nodes.set(id, { membership, close: () => void end.close() });
    return membership;
  }

  /** It ends as by kill -9. */
  kill(id: number): void {
    const node = this.nodes.get(id);
    node?.membership[Symbol.dispose]();
    node?.close();
    this.nodes.delete(id);
  }

  of(id: number): Membership {
    const node = this.nodes.get(id);
    if (node === undefined) throw new Error(`node ${id} does not run`);
    return node.membership;
  }

  state(of: number, at: number): MemberState | undefined {
    return this.of(at).get(of)?.state;
  }

  /** How many pairs of running nodes of `ids` there are of which one does not see the other so. */
  wrong(ids: readonly number[], want: (of: number, at: number) => boolean): number {
    let n = 0;
    for (const at of ids)
      for (const of of this.nodes.keys())
        if (of !== at && (this.state(of, at) === "up" || this.state(of, at) === "suspect") !== want(of, at)) n++;
    return n;
  }

  /** Lets time pass until it is so; milliseconds that it took, or null when it is not so in time. */
  async until(ms: number, so: () => boolean): Promise<number | null> {
    const begin = this.clock.now();
    while (!so()) {
      if (this.clock.now() - begin > ms) return null;
      await this.clock.advance(250);
    }
    return this.clock.now() - begin;
  }

  end(): void {
    for (const id of [...this.nodes.keys()]) this.kill(id);
  }
}

function idOf(address: string): number {
  const [, , high = "0", low = "0"] = address.split(".");
  return (Number(high) << 8) | Number(low);
}
