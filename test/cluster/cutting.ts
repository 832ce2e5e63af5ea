import { setTimeout as sleep } from "node:timers/promises";
import { DEFAULT_PORT } from "../../src/base/mod.ts";
import type { TestCluster } from "./harness.ts";

/** Ways to cut what lies between two engines, as networks do it. */

/** The cable is out: neighbours are not found any more. */
const unplug = async (cluster: TestCluster, node: number, ms: number): Promise<void> => {
  await cluster.cut(node);
  try {
    await sleep(ms);
  } finally {
    await cluster.heal(node);
  }
};

const TABLE = "inet tesela_test";

/** Packets of the node's engine vanish, in one direction or both; nobody is told. */
const swallow = async (cluster: TestCluster, node: number, ms: number): Promise<void> => {
  const drop = "meta l4proto tcp drop";
  const out = ms % 3 === 0 ? "" : drop;
  const rules = `table ${TABLE} { chain in { type filter hook input priority 0; ${drop}; }; chain out { type filter hook output priority 0; ${out}; }; }`;
  await cluster.sh(node, `nft '${rules}'`);
  try {
    await sleep(ms);
  } finally {
    await cluster.sh(node, `nft delete table ${TABLE}`);
  }
};

const established = async (cluster: TestCluster, node: number): Promise<string[]> => {
  const { stdout } = await cluster.exec(node, [
    "ss",
    "-Htn",
    "state",
    "established",
    `( sport = :${DEFAULT_PORT} or dport = :${DEFAULT_PORT} )`,
  ]);
  return stdout
    .split("\n")
    .map((line) => line.trim().split(/\s+/).slice(2).join(" "))
    .filter(Boolean);
};

/** All connections of the node's engine are reset, which takes no time at all. */
const reset = async (cluster: TestCluster, node: number): Promise<void> => {
  await cluster.exec(node, ["ss", "-Kt", `( sport = :${DEFAULT_PORT} or dport = :${DEFAULT_PORT} )`]);
};

export type Cut = (cluster: TestCluster, node: number, ms: number) => Promise<void>;

/** The ways that work here, by name; `lacking` says why the others do not. */
export async function waysToCut(cluster: TestCluster): Promise<{ ways: ReadonlyMap<string, Cut>; lacking: readonly string[] }> {
  const ways = new Map<string, Cut>([["unplug", unplug]]);
  const lacking: string[] = [];
  const nft = await cluster.exec(1, ["sh", "-c", `nft 'table ${TABLE} { }' && nft delete table ${TABLE}`]);
  if (nft.status === 0) ways.set("swallow", swallow);
  else lacking.push(`packets are not swallowed: nft: ${nft.stderr.trim().split("\n")[0]}`);
  // Those that come up again have other ports.
  const before = await established(cluster, 1);
  await reset(cluster, 1);
  const left = (await established(cluster, 1)).filter((connection) => before.includes(connection));
  if (before.length > 0 && left.length === 0) ways.set("reset", reset);
  else lacking.push(`connections are not reset: ss -K ended ${before.length - left.length} of ${before.length}`);
  return { ways, lacking };
}
