import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { CLUSTER_NAME, type Random } from "../io/mod.ts";
import { KiB, MAX_NODE_ID, type NodeId, nodeId, TeselaError } from "../base/mod.ts";

/**
 * What one machine needs to join, once, for a while. It holds no key of any node: whoever steals it can join in its owner's place as
 * long as nobody else has and its time is not over, and no longer.
 */
export interface Token {
  /** 8 bytes: names it in logs and in the node's list of open tokens. No secret. */
  readonly id: Buffer;
  /** 32 bytes, known to the token and to the node that made it. It never travels: see proofOf(). */
  readonly secret: Buffer;
  readonly cluster: string;
  /** SHA-256 of the CA's certificate, 32 bytes. */
  readonly fingerprint: Buffer;
  /** The node that made it, the only one where it is good. */
  readonly node: NodeId;
  readonly address: string;
  readonly port: number;
  /** Seconds since 1970 by the clock of that node. */
  readonly expires: number;
}

const PREFIX = "tesela2.";
const MAX_TOKEN = 2 * KiB;
const MAX_ADDRESS = 255;
export const TOKEN_ID_BYTES = 8;
export const SECRET_BYTES = 32;
const FINGERPRINT_BYTES = 32;
const CHECK_BYTES = 4;
export const PROOF_BYTES = 32;

export function newToken(random: Random, about: Omit<Token, "id" | "secret">): Token {
  return { ...about, id: random.bytes(TOKEN_ID_BYTES), secret: random.bytes(SECRET_BYTES) };
}

/** One word: "tesela2." and base64url of id, secret, fingerprint, expiry (8 bytes), node, port, cluster NUL address, checksum. */
export function encodeToken(token: Token): string {
  const numbers = Buffer.alloc(12);
  numbers.writeBigUInt64BE(BigInt(token.expires), 0);
  numbers.writeUInt16BE(token.node, 8);
  numbers.writeUInt16BE(token.port, 10);
  const body = Buffer.concat([token.id, token.secret, token.fingerprint, numbers, Buffer.from(`${token.cluster}\0${token.address}`)]);
  return PREFIX + Buffer.concat([body, checksum(body)]).toString("base64url");
}

/** @throws E_USAGE when the text is no token, or not a whole one */
export function decodeToken(text: string): Token {
  const word = text.trim();
  if (word.startsWith("tesela1.")) throw unreadable("it is of an older version: make a new one");
  if (!word.startsWith(PREFIX) || word.length > MAX_TOKEN) throw unreadable("it does not begin as one, or is too long");
  const coded = word.slice(PREFIX.length);
  const bytes = Buffer.from(coded, "base64url");
  const fixed = TOKEN_ID_BYTES + SECRET_BYTES + FINGERPRINT_BYTES + 12;
  if (!/^[\w-]*$/.test(coded) || bytes.length < fixed + CHECK_BYTES) throw unreadable("it is cut short or damaged; copy it whole");
  const body = bytes.subarray(0, -CHECK_BYTES);
  if (!checksum(body).equals(bytes.subarray(-CHECK_BYTES))) throw unreadable("it is cut short or damaged; copy it whole");
  let at = 0;
  const take = (n: number): Buffer => {
    at += n;
    return body.subarray(at - n, at);
  };
  const [id, secret, fingerprint, numbers] = [take(TOKEN_ID_BYTES), take(SECRET_BYTES), take(FINGERPRINT_BYTES), take(12)] as const;
  const [cluster = "", address = "", ...more] = body.subarray(at).toString("utf8").split("\0");
  const [expires, node, port] = [Number(numbers.readBigUInt64BE(0)), numbers.readUInt16BE(8), numbers.readUInt16BE(10)];
  const good = CLUSTER_NAME.test(cluster) && address !== "" && address.length <= MAX_ADDRESS && more.length === 0;
  if (!good || !Number.isSafeInteger(expires) || node < 1 || node > MAX_NODE_ID || port < 1)
    throw unreadable("a part of it makes no sense");
  return { id, secret, fingerprint, expires, node: nodeId(node), port, cluster, address };
}

/**
 * Proves the secret without telling it, for one TLS connection and one request only: HMAC-SHA256 over what only the two ends of the
 * connection know and over the request. In the middle it is of no use to anybody.
 */
export function proofOf(secret: Buffer, binding: Buffer, request: Uint8Array): Buffer {
  return createHmac("sha256", secret)
    .update("tesela join 1\0")
    .update(binding)
    .update(createHash("sha256").update(request).digest())
    .digest();
}

export function proves(proof: Uint8Array, secret: Buffer, binding: Buffer, request: Uint8Array): boolean {
  return proof.length === PROOF_BYTES && timingSafeEqual(proof, proofOf(secret, binding, request));
}

const checksum = (body: Buffer): Buffer => createHash("sha256").update(body).digest().subarray(0, CHECK_BYTES);

function unreadable(why: string): TeselaError {
  return new TeselaError("E_USAGE", `this is not a token of 'tesela token': ${why}`);
}
