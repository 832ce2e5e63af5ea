import { deflateRawSync, inflateRawSync } from "node:zlib";
import { KiB, MAX_NODE_ID, type NodeId, nodeId, TeselaError } from "../base/mod.ts";
import type { Credentials } from "../io/mod.ts";
import { checkIdentity } from "./files.ts";

/** A node as peers.json lists it. */
export interface Member {
  readonly id: NodeId;
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

/** All that a machine needs to become a node. It holds the node's private key: whoever reads the token can be that node. */
export interface Invitation {
  readonly credentials: Credentials;
  readonly address: string;
  readonly port: number;
  /** The nodes known when the token was made, the new one included. */
  readonly peers: readonly Member[];
}

const PREFIX = "tesela1.";
const MAX_TOKEN = 64 * KiB;
const MAX_INFLATED = 256 * KiB;

/** One line of text: "tesela1." and base64url. */
export function encodeToken(invitation: Invitation): string {
  return PREFIX + deflateRawSync(JSON.stringify(invitation), { level: 9 }).toString("base64url");
}

/**
 * Reads a token and checks that the identity in it is whole and valid now.
 * @throws E_USAGE when the text is no token, E_IDENTITY when its certificates are not in order
 */
export function decodeToken(text: string): Invitation {
  const token = text.trim();
  if (!token.startsWith(PREFIX) || token.length > MAX_TOKEN) throw unreadable("it does not begin as one, or is too long");
  let value: unknown;
  try {
    value = JSON.parse(inflateRawSync(Buffer.from(token.slice(PREFIX.length), "base64url"), { maxOutputLength: MAX_INFLATED }).toString());
  } catch (e) {
    throw unreadable("it is damaged; copy it whole", e);
  }
  const { credentials: c, address, port, peers } = record(value);
  const credentials = record(c);
  const pem = { ca: textOf(credentials["ca"]), cert: textOf(credentials["cert"]), key: textOf(credentials["key"]) };
  const { cluster, node } = checkIdentity(pem, "the token");
  if (!Array.isArray(peers) || peers.length > MAX_NODE_ID) throw unreadable("its list of nodes is wrong");
  return {
    credentials: { cluster, node, name: textOf(credentials["name"]), ...pem },
    address: textOf(address),
    port: portOf(port),
    peers: peers.map(memberOf),
  };
}

function memberOf(value: unknown): Member {
  const { id, name, address, port } = record(value);
  try {
    return { id: nodeId(Number(id)), name: textOf(name), address: textOf(address), port: portOf(port) };
  } catch (e) {
    throw e instanceof RangeError ? unreadable(e.message) : e;
  }
}

function record(value: unknown): Record<string, unknown> {
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw unreadable("a part of it is missing");
  return value as Record<string, unknown>;
}

function textOf(value: unknown): string {
  if (typeof value !== "string" || value === "") throw unreadable("a part of it is missing");
  return value;
}

function portOf(value: unknown): number {
  if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > 65535) throw unreadable(`port ${String(value)}`);
  return value as number;
}

function unreadable(why: string, cause?: unknown): TeselaError {
  return new TeselaError("E_USAGE", `this is not a token of 'tesela token': ${why}`, {}, cause === undefined ? {} : { cause });
}
