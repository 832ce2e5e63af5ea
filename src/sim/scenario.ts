import { basename } from "node:path";
import { BALANCE_KNOBS, type BalanceKnobs, PLACE_KNOBS, type PlaceKnobs, USHER_KNOBS, type UsherKnobs } from "../balance/mod.ts";
import { MAX_NODE_ID, TeselaError } from "../base/mod.ts";
import { Fields } from "./fields.ts";
import type { Spread } from "./spread.ts";

/** Equal nodes. */
export interface NodeGroup {
  readonly count: number;
  readonly cpus: number;
  /** 10000 is the standard processor. */
  readonly speed: number;
  /** Bytes. */
  readonly memory: number;
  /** Nodes of the same name here have the same CPUs, as many each, and none sees the others' processes; empty: they have their own. */
  readonly cores: string;
}

/** Some nodes reach one another and nobody else does them, for a while. */
export interface Partition {
  /** Seconds. */
  readonly from: number;
  readonly until: number;
  /** The part of the nodes, from the last one down. */
  readonly share: number;
}

export interface Network {
  /** Shortest and longest time of a datagram on its way; a round trip is twice their mean. */
  readonly delayMs: readonly [least: number, most: number];
  /** Chance of a datagram to be lost. */
  readonly loss: number;
  /** Chance of a piece of a stream to be lost: that slows moves down, as it does TCP (network.ts). */
  readonly streamLoss: number;
  /** Bytes a second of each node's link. */
  readonly bandwidth: number;
  /** For how long a process stands still beside the carrying of its memory. */
  readonly freezeMs: number;
  readonly partitions: readonly Partition[];
}

/** What all kinds of work say of their processes. */
interface Processes {
  /** The part of the nodes where it starts, from the first one up: 0.1 is a tenth, and at least one. */
  readonly on: number;
  /** Seconds of a standard processor. */
  readonly life: Spread;
  /** Resident bytes at the beginning. */
  readonly memory: Spread;
  /** Bytes that are added with each second of CPU time, up to `peak` bytes. */
  readonly growth: number;
  readonly peak: number;
  /** Calls a second of CPU time that go home. */
  readonly calls: number;
  /** Begins where it is placed best (`mosrun -b`); otherwise at home. */
  readonly place: boolean;
}

export type Work = Processes &
  (
    | {
        readonly kind: "poisson" /** Seconds between arrivals, on each of the nodes. */;
        readonly every: number;
        readonly from: number;
        readonly until: number;
      }
    | { readonly kind: "batch" /** Processes on each of the nodes. */; readonly each: number; readonly at: number }
    | {
        readonly kind: "make" /** Files to compile on each of the nodes. */;
        readonly files: number /** As -j. */;
        readonly jobs: number;
        readonly at: number;
      }
  );

export interface Knobs {
  readonly balance: BalanceKnobs;
  readonly usher: UsherKnobs;
  readonly place: PlaceKnobs;
}

/** A cluster, its network and what it is given to do. */
export interface Scenario {
  readonly name: string;
  readonly about: string;
  readonly seed: number;
  /** Seconds after which it ends, whatever still runs. */
  readonly limit: number;
  readonly nodes: readonly NodeGroup[];
  readonly network: Network;
  readonly work: readonly Work[];
  readonly knobs: Knobs;
}

export const nodeCount = (s: Scenario): number => s.nodes.reduce((n, g) => n + g.count, 0);

/** The same scenario for so many nodes, each kind in its proportion. */
export function resized(s: Scenario, nodes: number): Scenario {
  const all = nodeCount(s);
  let [seen, made] = [0, 0];
  const groups = s.nodes.map((g) => {
    seen += g.count;
    const count = Math.round((seen * nodes) / all) - made;
    made += count;
    return { ...g, count };
  });
  return { ...s, nodes: groups.filter((g) => g.count > 0) };
}

/**
 * Reads a scenario: docs/sim.md has the format.
 * @param name of it, or its file
 * @throws TeselaError E_CONFIG that names the field
 */
export function readScenario(text: string, name: string): Scenario {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const hint = "a scenario is an object in JSON: docs/sim.md";
    throw new TeselaError("E_CONFIG", `scenario ${name}: no JSON: ${(cause as Error).message.replace(/\s+/g, " ")}`, { hint }, { cause });
  }
  const top = new Fields(value, `scenario ${name}`);
  const scenario: Scenario = {
    name: top.text("name", basename(name)),
    about: top.text("about", ""),
    seed: top.number("seed", 1, 0),
    limit: top.number("limit", 3600, 1),
    nodes: top.list("nodes").map(nodeGroup),
    network: network(top.object("network")),
    work: top.list("work").map(work),
    knobs: knobs(top.object("knobs")),
  };
  top.end();
  const count = nodeCount(scenario);
  if (count < 1 || count > MAX_NODE_ID) throw new TeselaError("E_CONFIG", `scenario ${name}: ${count} nodes: want 1 to ${MAX_NODE_ID}`);
  if (scenario.work.length === 0) throw new TeselaError("E_CONFIG", `scenario ${name}: no work`);
  return scenario;
}

function nodeGroup(f: Fields): NodeGroup {
  const group = {
    count: f.whole("count", 1, 1),
    cpus: f.number("cpus", 1, 0.01),
    speed: f.number("speed", 10_000, 1),
    memory: f.bytes("memory", "4 GiB"),
    cores: f.text("cores", ""),
  };
  f.end();
  return group;
}

function network(f: Fields): Network {
  const net = {
    delayMs: f.pair("delayMs", [0.1, 0.3]),
    loss: f.share("loss", 0),
    streamLoss: f.share("streamLoss", 0),
    bandwidth: f.bytes("bandwidth", 100e6),
    freezeMs: f.number("freezeMs", 50, 0),
    partitions: f.list("partitions", []).map((p) => {
      const partition = { from: p.number("from", 0, 0), until: p.number("until", 0, 0), share: p.share("share", 0.5) };
      p.end();
      return partition;
    }),
  };
  f.end();
  return net;
}

function work(f: Fields): Work {
  const memory = f.spread("memory", "16 MiB");
  const common = {
    on: f.share("on", 1),
    life: f.spread("life"),
    memory,
    growth: f.bytes("growth", 0),
    peak: f.bytes("peak", 0),
    calls: f.number("calls", 0, 0),
    place: f.flag("place", false),
  };
  const kind = f.text("kind");
  let own: Work;
  if (kind === "poisson")
    own = {
      ...common,
      kind,
      every: f.number("every", undefined, 0.001),
      from: f.number("from", 0, 0),
      until: f.number("until", undefined, 0),
    };
  else if (kind === "batch") own = { ...common, kind, each: f.whole("each", 1, 1), at: f.number("at", 0, 0) };
  else if (kind === "make")
    own = { ...common, kind, files: f.whole("files", 300, 1), jobs: f.whole("jobs", 8, 1), at: f.number("at", 0, 0) };
  else throw f.wrong("kind", "poisson, batch or make");
  f.end();
  return own;
}

function knobs(f: Fields): Knobs {
  const made = {
    balance: f.knobs("balance", { ...BALANCE_KNOBS, explain: 0 }),
    usher: f.knobs("usher", { ...USHER_KNOBS, explain: 0 }),
    place: f.knobs("place", { ...PLACE_KNOBS, explain: 0 }),
  };
  f.end();
  return made;
}
