import { mkdirSync, writeFileSync } from "node:fs";
import { DEFAULT_PORT } from "../base/mod.ts";
import type { ClusterState } from "./state.ts";

/** Writes every host's identity, number and peers into its state directory: what `tesela init` and `join` would do there. */
export async function writeIdentities(state: Pick<ClusterState, "dir" | "name" | "hosts">): Promise<void> {
  const nodes = state.hosts.map(({ id, name, address }) => ({ id, name, address, port: DEFAULT_PORT }));
  for (const node of nodes) {
    const dir = `${state.dir}/${node.name}/state`;
    mkdirSync(`${dir}/identity`, { recursive: true, mode: 0o700 });
    writeFileSync(`${dir}/node.json`, `${JSON.stringify({ ...node, cluster: state.name })}\n`);
    writeFileSync(`${dir}/peers.json`, `${JSON.stringify(nodes)}\n`);
  }
}
