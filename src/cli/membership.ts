import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { DEFAULT_PORT, MAX_NODE_ID, type Paths } from "../base/mod.ts";
import { type NodeConfig, NODE_NAME, type Peer } from "../daemon/mod.ts";
import { type Invocation, lastValue } from "./command.ts";
import { usage } from "./parse.ts";

/** A node number given as an option. @throws TeselaError E_USAGE */
export function idValue(call: Invocation, long: string): number | undefined {
  return numberValue(call, long, 1, MAX_NODE_ID);
}

export const portValue = (call: Invocation): number => numberValue(call, "port", 1, 65535) ?? DEFAULT_PORT;

export function nameValue(call: Invocation, long: string): string | undefined {
  const text = lastValue(call, long);
  if (text !== undefined && !NODE_NAME.test(text))
    throw usage(call.command, `--${long} '${text}': want letters, digits and '-', not only digits`);
  return text;
}

function numberValue(call: Invocation, long: string, least: number, most: number): number | undefined {
  const text = lastValue(call, long);
  if (text === undefined) return undefined;
  const n = Number(text);
  if (!/^\d+$/.test(text) || n < least || n > most) throw usage(call.command, `--${long} '${text}': want ${least} to ${most}`);
  return n;
}

/** `node.json` and `peers.json`, each whole or not at all: daemons that run read them again by themselves. */
export function writeMembership(paths: Paths, node: NodeConfig, peers: readonly Peer[]): void {
  writeWhole(paths.peersJson, peers);
  writeWhole(paths.nodeJson, node);
}

export const writePeers = (paths: Paths, peers: readonly Peer[]): void => writeWhole(paths.peersJson, peers);

function writeWhole(file: string, value: unknown): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
  const fresh = `${file}.${process.pid}.new`;
  writeFileSync(fresh, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(fresh, file);
}
