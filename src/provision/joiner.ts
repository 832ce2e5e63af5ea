import { hostname } from "node:os";
import { type Paths, TeselaError } from "../base/mod.ts";
import {
  makeRequest,
  newKey,
  proofOf,
  readWelcome,
  saveGossipKey,
  saveIdentity,
  type JoinRequest,
  type Token,
  type Welcome,
  writeMembership,
  writeRecord,
} from "../cluster/mod.ts";
import { nodeId } from "../base/mod.ts";
import { closeSoon, CONNECT_TIMEOUT_MS, dialJoin, errorOf, readFirst } from "../io/mod.ts";
import { codec, MAX_FRAME, type Message } from "../wire/mod.ts";

/** Making a certificate takes a tenth of a second, on a busy machine some more. */
const ANSWER_MS = 30_000;

export interface JoinWish {
  readonly id?: number;
  readonly name?: string;
  /** Where the others reach this machine: its address on the way to the node unless given. */
  readonly address?: string;
  readonly port: number;
}

export interface Joined {
  readonly welcome: Welcome;
  readonly ca: string;
  readonly key: string;
}

/**
 * Has this machine enrolled by the node that made the token. Its private key is made here and stays here; nothing is written yet.
 * @throws E_IDENTITY, E_REFUSED, E_EXISTS, E_NODE_DOWN, E_TIMEOUT, E_PROTOCOL
 */
export async function enrolWith(token: Token, wish: JoinWish): Promise<Joined> {
  const key = await newKey();
  const csr = (await makeRequest(key)).toString("base64url");
  const { stream, binding, ca, localAddress } = await dialJoin(token, CONNECT_TIMEOUT_MS);
  const request: JoinRequest = { csr, host: hostname(), ...wish, address: wish.address ?? plain(localAddress) };
  const payload = Buffer.from(JSON.stringify(request));
  const proof = proofOf(token.secret, binding, payload);
  for (const piece of codec.encode("join", { token: token.id, proof }, [payload])) stream.write(piece);
  let message: Message;
  try {
    ({ message } = await readFirst(stream, "the node", MAX_FRAME, AbortSignal.timeout(ANSWER_MS)));
  } catch (e) {
    throw unanswered(token, e);
  } finally {
    closeSoon(stream);
  }
  if (message.type === "error") throw errorOf(message.head);
  if (message.type !== "joined") throw new TeselaError("E_PROTOCOL", `the node answered with '${message.type}'`);
  const welcome = readWelcome(message.payload, ca, key);
  if (welcome.cluster !== token.cluster) throw new TeselaError("E_IDENTITY", "the node answered for another cluster");
  return { welcome, ca, key };
}

/** Makes this machine the node: `node.json` comes last, so that a half-written one is none. */
export function settle(paths: Paths, { welcome, ca, key }: Joined, fixed = false): void {
  const { node, cluster, cert, gossip, peers, record } = welcome;
  saveIdentity(paths.identity, { cluster, node: nodeId(node.id), name: node.name, ca, cert, key });
  saveGossipKey(paths.identity, gossip);
  writeRecord(paths, { cluster, all: () => record });
  writeMembership(paths, { ...node, cluster, ...(fixed && { fixed }) }, peers);
}

/** A node says nothing to who cannot prove a token that is open. */
function unanswered(token: Token, e: unknown): TeselaError {
  if (e instanceof TeselaError && e.code === "E_PROTOCOL") return e;
  if ((e as Error).name === "TimeoutError") return new TeselaError("E_TIMEOUT", "the node does not answer", {}, { cause: e });
  const until = new Date(token.expires * 1000).toISOString();
  const expired = Date.now() > token.expires * 1000;
  const why = expired ? `it expired at ${until}` : `it was used already or withdrawn, or has expired by the node's clock (at ${until})`;
  return new TeselaError(
    "E_REFUSED",
    `${token.address}:${token.port} did not accept the token: ${why}; its log says more`,
    {},
    { cause: e },
  );
}

const plain = (address: string): string => address.replace(/^::ffff:/, "");
