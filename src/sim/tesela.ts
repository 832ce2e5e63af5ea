import { SeededRandom } from "../io/mod.ts";
import { Agent } from "./agent.ts";
import type { Knowledge } from "./knowledge.ts";
import { Members } from "./members.ts";
import type { Policy, PolicyOf } from "./policy.ts";
import type { World } from "./world.ts";
import { Vectors } from "./vectors.ts";

/** Up to so many nodes the whole of gossip runs; from there on the load vectors alone, unless told. Memory and time of lists grow with the square. */
export const MOST_MEMBERS = 300;

export type Gossip = "members" | "vectors";

/** The production policies on each node, which knows what gossip tells it. */
export const tesela =
  (gossip?: Gossip): PolicyOf =>
  (world, seed) => {
    const random = new SeededRandom(seed + 1);
    const agent = (node: number): Agent => agents[node] as Agent;
    const parts = { world, random, agent, knowledge: (): Knowledge => knowledge };
    const agents = world.machines.map((m) => new Agent(m, parts));
    const whole = (gossip ?? (agents.length <= MOST_MEMBERS ? "members" : "vectors")) === "members";
    const knowledge: Knowledge = new (whole ? Members : Vectors)(world, seed + 2, (node) => agent(node).entry());
    return policyOf(world, agent, knowledge);
  };

function policyOf(world: World, agent: (node: number) => Agent, knowledge: Knowledge): Policy {
  const { freezeMs } = world.scenario.network;
  return {
    name: "tesela",
    begin: (job) => {
      const on = job.place ? agent(job.home).place(job) : job.home;
      return world.begin(job, on, on === job.home ? 0 : freezeMs);
    },
    ended: ({ job }) => agent(job.home).ended(job),
    get traffic() {
      return knowledge.traffic;
    },
  };
}
