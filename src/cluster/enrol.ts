import { MAX_NODE_ID, TeselaError } from "../base/mod.ts";
import { checkPeer, NODE_NAME, type Peer } from "./config.ts";
import { checkIdentity } from "./files.ts";
import { parseGossipKeys } from "./gossip-key.ts";
import { checkEntry, type Entry, type MemberRecord } from "./record.ts";
import { MAX_CSR } from "./request.ts";
import type { OpenToken } from "./token-store.ts";

/** What a machine asks for when it joins; travels as JSON, which the proof covers byte for byte. */
export interface JoinRequest {
  /** DER, base64url. */
  readonly csr: string;
  /** Wanted; the node chooses a free number, and the name `host` or nN, unless given. */
  readonly id?: number;
  readonly name?: string;
  readonly host: string;
  readonly address: string;
  readonly port: number;
}

/** All that a new node gets; its private key it has already. */
export interface Welcome {
  readonly node: Peer;
  readonly cluster: string;
  readonly cert: string;
  /** As gossip.key holds it. */
  readonly gossip: string;
  /** The nodes and where they are now, the new one included. */
  readonly peers: readonly Peer[];
  readonly record: readonly Entry[];
}

const wrong = (what: string): TeselaError => new TeselaError("E_PROTOCOL", what);

/** @throws E_PROTOCOL */
export function readRequest(bytes: Buffer): JoinRequest {
  const { csr, id, name, host, address, port } = record(bytes, "a machine's wish to join");
  if (typeof csr !== "string" || csr.length > MAX_CSR * 2) throw wrong("a machine that wants to join sends no certificate request");
  if (id !== undefined && !(Number.isInteger(id) && (id as number) >= 1 && (id as number) <= MAX_NODE_ID))
    throw wrong("the wanted number is none");
  if (name !== undefined && (typeof name !== "string" || !NODE_NAME.test(name))) throw wrong("the wanted name is none");
  if (typeof host !== "string" || host.length > 255) throw wrong("the host name is none");
  const peer = attempt(() => checkPeer("the machine", { id: 1, name: "n", address, port }));
  if (peer.address.length > 255) throw wrong("the address is none");
  return {
    csr,
    host,
    address: peer.address,
    port: peer.port,
    ...(id !== undefined && { id: id as number }),
    ...(name !== undefined && { name: name as string }),
  };
}

/**
 * Who the machine will be: by its wish, the token's word, and what is free. Numbers of nodes that have left or were removed are taken up
 * again only by who names them.
 * @throws E_EXISTS, E_REFUSED
 */
export function admit(wish: JoinRequest, token: Pick<OpenToken, "node" | "name">, members: MemberRecord, peers: readonly Peer[]): Peer {
  const known = new Map<number, string>();
  for (const p of peers) known.set(p.id, p.name);
  for (const e of members.all()) known.set(e.id, e.name);
  const gone = (id: number): boolean => (members.get(id)?.standing ?? "member") !== "member";
  if (token.node !== undefined && wish.id !== undefined && token.node !== wish.id)
    throw new TeselaError("E_REFUSED", `the token is for number ${token.node}, not ${wish.id}`);
  if (token.name !== undefined && wish.name !== undefined && token.name !== wish.name)
    throw new TeselaError("E_REFUSED", `the token is for the name ${token.name}, not ${wish.name}`);
  const id = token.node ?? wish.id ?? lowestFree(known);
  if (known.has(id) && !gone(id))
    throw new TeselaError("E_EXISTS", `node ${id} (${known.get(id)}) is a member: take another number, or remove it first`, { node: id });
  const taken = new Set([...known].filter(([other]) => other !== id).map(([, name]) => name));
  const name = token.name ?? wish.name;
  if (name !== undefined) {
    if (taken.has(name)) throw new TeselaError("E_EXISTS", `another node is called ${name}: give one with --node-name`);
    return { id, name, address: wish.address, port: wish.port };
  }
  const candidates = [known.get(id), wish.host.split(".")[0] ?? "", `n${id}`, `n${id}-${wish.port}`];
  const free = candidates.find((n) => n !== undefined && NODE_NAME.test(n) && !taken.has(n));
  if (free === undefined) throw new TeselaError("E_EXISTS", `node ${id} would have no name of its own: give one with --node-name`);
  return { id, name: free, address: wish.address, port: wish.port };
}

function lowestFree(known: ReadonlyMap<number, unknown>): number {
  for (let id = 1; id <= MAX_NODE_ID; id++) if (!known.has(id)) return id;
  throw new TeselaError("E_REFUSED", `all ${MAX_NODE_ID} node numbers are taken`);
}

/**
 * Checks what the node answered against the CA that the token names and the machine's own key.
 * @throws E_PROTOCOL, E_IDENTITY
 */
export function readWelcome(bytes: Buffer, ca: string, key: string): Welcome {
  const { node, cluster, cert, gossip, peers, record: entries } = record(bytes, "the node's answer");
  if (typeof cluster !== "string" || typeof cert !== "string" || typeof gossip !== "string")
    throw wrong("the node's answer lacks something");
  if (!Array.isArray(peers) || !Array.isArray(entries) || Math.max(peers.length, entries.length) > MAX_NODE_ID)
    throw wrong("the node's answer has no list of nodes");
  attempt(() => parseGossipKeys(gossip, "the node's answer"));
  const self = attempt(() => checkPeer("the answer", node));
  const named = checkIdentity({ ca, cert, key }, "the node's answer");
  if (named.cluster !== cluster || named.node !== self.id) throw wrong("the certificate that the node sent names another node");
  return {
    node: self,
    cluster,
    cert,
    gossip,
    peers: peers.map((p: unknown) => attempt(() => checkPeer("the answer", p))),
    record: entries.map((e: unknown) => attempt(() => checkEntry(e))),
  };
}

function record(bytes: Buffer, what: string): { readonly [name: string]: unknown } {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8"));
  } catch (cause) {
    throw new TeselaError("E_PROTOCOL", `${what} is not JSON`, {}, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(`${what} is no record`);
  return value as { readonly [name: string]: unknown };
}

/** What a file's reader would call a wrong configuration is a peer's fault here. */
function attempt<T>(check: () => T): T {
  try {
    return check();
  } catch (e) {
    throw e instanceof TeselaError && e.code === "E_CONFIG" ? new TeselaError("E_PROTOCOL", e.message, {}, { cause: e }) : e;
  }
}
