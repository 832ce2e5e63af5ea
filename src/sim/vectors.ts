import { type GossipKnobs, LAN, LOAD_BYTES, type LoadEntry, LoadVector, MESSAGE_BYTES } from "../cluster/mod.ts";
import { type Random, SeededRandom } from "../io/mod.ts";
import { SimDatagrams } from "./datagrams.ts";
import type { Knowledge, Known } from "./knowledge.ts";
import type { Traffic } from "./policy.ts";
import type { World } from "./world.ts";

/**
 * The load part of gossip alone: each node's LoadVector, sent to as many members as often as Membership does it. Who is a member is known to all and
 * does not change, for lists of everybody on each of 10,000 nodes fit into no memory.
 */
export class Vectors implements Knowledge {
  private readonly world: World;
  private readonly datagrams: SimDatagrams;
  private readonly vectors: LoadVector[];
  private readonly random: Random;
  private readonly knobs: GossipKnobs;

  constructor(world: World, seed: number, entry: (node: number) => LoadEntry, knobs: GossipKnobs = LAN) {
    this.world = world;
    this.knobs = knobs;
    this.datagrams = new SimDatagrams(world, seed);
    this.random = new SeededRandom(seed + 1);
    const { clock } = world;
    const { random } = this;
    this.vectors = world.machines.map(
      (m) => new LoadVector({ clock, random, self: m.index + 1, life: m.index, maxAgeMs: knobs.loadMaxAgeMs }),
    );
    for (const m of world.machines) {
      const round = (): void => this.tell(m.index, entry(m.index));
      clock.after(random.float() * knobs.loadMs, () => {
        round();
        clock.every(knobs.loadMs, round);
      });
    }
  }

  get traffic(): Traffic {
    return this.datagrams.traffic;
  }

  *all(node: number): Iterable<Known> {
    for (const { id, entry, ageMs } of this.vector(node).known()) if (id !== node + 1) yield { node: id - 1, entry, ageMs };
  }

  one(node: number, other: number): Known | null {
    const known = this.vector(node).get(other + 1);
    return known === null ? null : { node: other, ...known };
  }

  private vector(node: number): LoadVector {
    return this.vectors[node] as LoadVector;
  }

  private tell(node: number, entry: LoadEntry): void {
    const { knobs } = this;
    const vector = this.vector(node);
    vector.setOwn(entry);
    for (const to of this.draw(node)) {
      const items = vector.pick(Math.floor((knobs.messageBytes - MESSAGE_BYTES) / LOAD_BYTES));
      this.datagrams.send(node, to, MESSAGE_BYTES + items.length * LOAD_BYTES, () => {
        const target = this.vector(to);
        for (const item of items) target.merge(item);
      });
    }
  }

  /** Different others. */
  private draw(node: number): number[] {
    const n = this.world.machines.length;
    const out: number[] = [];
    const want = Math.min(this.knobs.loadFanout, n - 1);
    while (out.length < want) {
      const to = this.random.int(n);
      if (to !== node && !out.includes(to)) out.push(to);
    }
    return out;
  }
}
