import { type Contact, type GossipKnobs, LAN, type LoadEntry, Membership, type MemberView } from "../cluster/mod.ts";
import { SeededRandom } from "../io/mod.ts";
import { SimDatagrams } from "./datagrams.ts";
import type { Knowledge, Known } from "./knowledge.ts";
import type { Traffic } from "./policy.ts";
import type { World } from "./world.ts";

const PORTS = { port: 4660, gossip: 5428 } as const;
/** Nodes that each begins with. */
const SEEDS = 8;

const contact = (node: number): Contact => {
  const id = node + 1;
  return { id, name: `h${id}`, address: `10.0.${id >> 8}.${id & 0xff}`, ...PORTS };
};

/** The whole of gossip, as daemons have it: a Membership on each node. */
export class Members implements Knowledge {
  private readonly datagrams: SimDatagrams;
  private readonly nodes: Membership[];

  constructor(world: World, seed: number, entry: (node: number) => LoadEntry, knobs: GossipKnobs = LAN) {
    this.datagrams = new SimDatagrams(world, seed);
    const random = new SeededRandom(seed + 1);
    const seeds = world.machines.slice(0, SEEDS).map((m) => contact(m.index));
    this.nodes = world.machines.map(({ index }) => {
      const self = contact(index);
      const { address, gossip: port } = self;
      return new Membership({
        self,
        seeds,
        knobs,
        clock: world.clock,
        random: new SeededRandom(random.int(2 ** 32)),
        entry: () => entry(index),
        send: (to, message) => {
          const target = to.id - 1;
          this.datagrams.send(index, target, message.length, () => this.nodes[target]?.receive(message, { id: self.id, address, port }));
        },
      });
    });
  }

  get traffic(): Traffic {
    return this.datagrams.traffic;
  }

  *all(node: number): Iterable<Known> {
    for (const m of this.nodes[node]?.list() ?? []) {
      const known = knownOf(m);
      if (known !== null) yield known;
    }
  }

  one(node: number, other: number): Known | null {
    const m = this.nodes[node]?.get(other + 1) ?? null;
    return m === null ? null : knownOf(m);
  }

  /** Pairs of nodes of which one does not take the other for up. */
  apart(): number {
    let n = 0;
    for (const node of this.nodes) n += this.nodes.length - 1 - node.list().filter((m) => m.state === "up").length;
    return n;
  }
}

function knownOf({ id, state, entry, ageMs }: MemberView): Known | null {
  return state === "up" && entry !== null ? { node: id - 1, entry, ageMs } : null;
}
