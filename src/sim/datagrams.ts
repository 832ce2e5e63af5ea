import { SEAL_BYTES } from "../cluster/mod.ts";
import { SeededRandom } from "../io/mod.ts";
import type { Traffic } from "./policy.ts";
import type { World } from "./world.ts";

/** Datagrams between the nodes of a world: late, lost or cut off as its network says; counted as they would be sealed. */
export class SimDatagrams {
  readonly traffic: Traffic = { messages: 0, bytes: 0 };
  private readonly world: World;
  private readonly random: SeededRandom;

  constructor(world: World, seed: number) {
    this.world = world;
    this.random = new SeededRandom(seed);
  }

  send(from: number, to: number, bytes: number, arrive: () => void): void {
    const { traffic, random, world } = this;
    const { loss, delayMs } = world.scenario.network;
    traffic.messages++;
    traffic.bytes += bytes + SEAL_BYTES;
    if (loss > 0 && random.float() < loss) return;
    if (!world.reach(from, to)) return;
    world.clock.after(delayMs[0] + (delayMs[1] - delayMs[0]) * random.float(), arrive);
  }
}
