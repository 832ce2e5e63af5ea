import { omniscient } from "./omniscient.ts";
import { type PolicyOf, roundRobin, stayAtHome } from "./policy.ts";
import { type Gossip, tesela } from "./tesela.ts";

/** In the order of reports. */
export const POLICIES = ["tesela", "omniscient", "static", "home"] as const;
export type PolicyName = (typeof POLICIES)[number];

/** Those that are run unless others are asked for. */
export const USUAL: readonly PolicyName[] = ["tesela", "omniscient", "static"];

export const isPolicy = (name: string): name is PolicyName => (POLICIES as readonly string[]).includes(name);

export function policyNamed(name: PolicyName, gossip?: Gossip): PolicyOf {
  switch (name) {
    case "tesela":
      return tesela(gossip);
    case "omniscient":
      return omniscient;
    case "static":
      return roundRobin;
    case "home":
      return stayAtHome;
  }
}
