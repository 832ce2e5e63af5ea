import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { DEFAULT_PORT, MAX_NODE_ID, type Paths, TeselaError } from "../base/mod.ts";

/** A node as the others know it: a line of `peers.json`. */
export interface Peer {
  readonly id: number;
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

/** `node.json`: this node. */
export interface NodeConfig extends Peer {
  readonly cluster: string;
  /** The address was given, and stays also when the machine has none like it (a router translates it). Otherwise it follows the machine's. */
  readonly fixed?: boolean;
}

/** As DNS labels, so that a name is good as a host name, in URLs and on the command line; a number is no name. */
export const NODE_NAME = /^(?!\d+$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

/** @throws TeselaError E_CONFIG */
export function readNodeConfig(paths: Paths): NodeConfig {
  const value = readJson(paths.nodeJson, "run `tesela init` or `tesela join` first");
  const cluster = (value as { cluster?: unknown } | null)?.cluster;
  if (typeof cluster !== "string" || cluster === "") throw wrong(paths.nodeJson, `cluster is ${JSON.stringify(cluster)}: want a name`);
  const { fixed } = value as { fixed?: unknown };
  return { ...checkPeer(paths.nodeJson, value), cluster, ...(fixed === true && { fixed }) };
}

/** @throws TeselaError E_CONFIG */
export function readPeers(paths: Paths): Peer[] {
  const value = readJson(paths.peersJson, "run `tesela init` or `tesela join` first");
  if (!Array.isArray(value)) throw wrong(paths.peersJson, "want an array of nodes");
  const peers = value.map((v: unknown) => checkPeer(paths.peersJson, v));
  for (const key of ["id", "name"] as const) {
    const seen = new Set<unknown>();
    for (const p of peers) {
      if (seen.has(p[key])) throw wrong(paths.peersJson, `two nodes have the ${key} ${p[key]}`);
      seen.add(p[key]);
    }
  }
  return peers;
}

export function checkPeer(file: string, value: unknown): Peer {
  const { id, name, address, port = DEFAULT_PORT } = (value ?? {}) as Record<string, unknown>;
  if (!isInt(id, 1, MAX_NODE_ID)) throw wrong(file, `id is ${JSON.stringify(id)}: want 1 to ${MAX_NODE_ID}`);
  if (typeof name !== "string" || !NODE_NAME.test(name))
    throw wrong(file, `name of node ${id} is ${JSON.stringify(name)}: want letters, digits, '-'`);
  if (typeof address !== "string" || address === "") throw wrong(file, `address of node ${id} is ${JSON.stringify(address)}`);
  if (!isInt(port, 1, 65535)) throw wrong(file, `port of node ${id} is ${JSON.stringify(port)}: want 1 to 65535`);
  return { id, name, address, port };
}

const isInt = (v: unknown, least: number, most: number): v is number =>
  Number.isInteger(v) && (v as number) >= least && (v as number) <= most;
const wrong = (file: string, what: string): TeselaError => new TeselaError("E_CONFIG", `${file}: ${what}`);

function readJson(file: string, absent: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT")
      throw new TeselaError("E_CONFIG", `${file} is missing: ${absent}`, {}, { cause });
    throw new TeselaError("E_CONFIG", `${file}: ${(cause as Error).message}`, {}, { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new TeselaError("E_CONFIG", `${file}: ${(cause as Error).message}`, {}, { cause });
  }
}

/** `node.json` and `peers.json`, each whole or not at all: daemons that run read them again by themselves. */
export function writeMembership(paths: Paths, node: NodeConfig, peers: readonly Peer[]): void {
  writePeers(paths, peers);
  writeWhole(paths.nodeJson, node);
}

export const writePeers = (paths: Paths, peers: readonly Peer[]): void => writeWhole(paths.peersJson, peers);

/** A JSON file, whole or not at all. */
export function writeWhole(file: string, value: unknown): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
  const fresh = `${file}.${process.pid}.new`;
  writeFileSync(fresh, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(fresh, file);
}

/** Tells whether a file was written since the last question, by its time, size and inode. */
export class Watched {
  private readonly file: string;
  private seen = "";

  constructor(file: string) {
    this.file = file;
  }
  changed(): boolean {
    const s = statSync(this.file, { throwIfNoEntry: false, bigint: true });
    const now = s ? `${s.ino} ${s.mtimeNs} ${s.size}` : "absent";
    const changed = now !== this.seen;
    this.seen = now;
    return changed;
  }
}
