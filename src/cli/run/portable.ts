import { GLIBC_FEATURES, maskTunables, PORTABLE, TUNABLES, tunablesOf } from "../../abi/mod.ts";
import { nodePaths } from "../../base/mod.ts";
import { DaemonClient, type NodeRow } from "../../daemon/mod.ts";
import { quote } from "./environ.ts";

const ALL = 2 ** GLIBC_FEATURES.length - 1;

/** The features that all nodes have, as bits, and the tunables' names of those that only some have. Nodes never heard of do not count. */
export function common(nodes: readonly Pick<NodeRow, "cpu">[]): { bits: number; lacking: string[] } {
  const known = nodes.flatMap((n) => (n.cpu === undefined ? [] : [n.cpu]));
  const some = known.reduce((a, b) => a | b, 0);
  const bits = known.reduce((a, b) => a & b, ALL) >>> 0;
  return { bits, lacking: tunablesOf((some & ~bits) >>> 0) };
}

/**
 * Shell lines that leave a program with the CPU features that all nodes have, and mark it as one that uses no others.
 * @param tunables glibc's, as the user has set them
 */
export async function portableSettings(tunables: string): Promise<string[]> {
  const { bits, lacking } = common(await new DaemonClient(nodePaths()).nodes());
  const mark = `export ${PORTABLE}=${bits.toString(16)}`;
  if (lacking.length === 0) return [mark];
  return [mark, `export ${TUNABLES}=${quote(maskTunables(tunables, lacking))}`];
}
