import type { LoadEntry } from "../cluster/mod.ts";
import type { Traffic } from "./policy.ts";

/** What a node knows of another's load. */
export interface Known {
  /** Index of the node. */
  readonly node: number;
  readonly entry: LoadEntry;
  readonly ageMs: number;
}

/** How nodes come to know of one another's load. */
export interface Knowledge {
  /** Others that `node` takes for up, as far as it knows their load. */
  all(node: number): Iterable<Known>;
  one(node: number, other: number): Known | null;
  readonly traffic: Traffic;
}
