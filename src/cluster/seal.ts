import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from "node:crypto";
import { assert } from "../base/mod.ts";

/**
 * A sealed datagram: a header in the clear, authenticated, and a body under AES-256-GCM with its tag of 16 bytes.
 *
 *     0  u16 magic   2  u8 version   3  u8 kind   4  u32 key id   8  u16 from   10  u16 to (0: whoever reads it)
 *     12 u64 life of the sender   20  u64 token that the receiver gave it   28  u48 count
 *
 * The key is derived (HKDF-SHA256, RFC 5869) from the cluster's key, the sender's number and its life, 64 random bits drawn at each start;
 * the nonce is the receiver's number and the sender's count of datagrams to it. So no pair of key and nonce comes twice.
 */
export const HEADER = 34;
export const TAG = 16;
const MAGIC = 0x7e5e;
const VERSION = 1;
const CIPHER = "aes-256-gcm";

export const KIND = { HELLO: 1, WELCOME: 2, DATA: 3 } as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

export interface Header {
  readonly kind: Kind;
  readonly keyId: number;
  readonly from: number;
  readonly to: number;
  readonly life: bigint;
  readonly token: bigint;
  readonly count: number;
}

/** The header, or null for what is none: a few comparisons, so that noise costs next to nothing. */
export function readHeader(bytes: Buffer): Header | null {
  if (bytes.length < HEADER + TAG || bytes.readUInt16BE(0) !== MAGIC || bytes[2] !== VERSION) return null;
  const kind = bytes[3];
  if (kind !== KIND.HELLO && kind !== KIND.WELCOME && kind !== KIND.DATA) return null;
  return {
    kind,
    keyId: bytes.readUInt32BE(4),
    from: bytes.readUInt16BE(8),
    to: bytes.readUInt16BE(10),
    life: bytes.readBigUInt64BE(12),
    token: bytes.readBigUInt64BE(20),
    count: bytes.readUIntBE(28, 6),
  };
}

function writeHeader(h: Header): Buffer {
  const bytes = Buffer.alloc(HEADER);
  bytes.writeUInt16BE(MAGIC, 0);
  bytes[2] = VERSION;
  bytes[3] = h.kind;
  bytes.writeUInt32BE(h.keyId, 4);
  bytes.writeUInt16BE(h.from, 8);
  bytes.writeUInt16BE(h.to, 10);
  bytes.writeBigUInt64BE(h.life, 12);
  bytes.writeBigUInt64BE(h.token, 20);
  bytes.writeUIntBE(h.count, 28, 6);
  return bytes;
}

function nonceOf(h: Header): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt16BE(h.to, 0);
  nonce.writeUIntBE(h.count, 6, 6);
  return nonce;
}

export function seal(key: Buffer, header: Header, body: Uint8Array): Buffer {
  const head = writeHeader(header);
  const cipher = createCipheriv(CIPHER, key, nonceOf(header), { authTagLength: TAG });
  cipher.setAAD(head);
  const sealed = cipher.update(body);
  cipher.final();
  return Buffer.concat([head, sealed, cipher.getAuthTag()]);
}

/** The body, or null when it was not sealed with this key, or changed on the way. */
export function unseal(key: Buffer, header: Header, bytes: Buffer): Buffer | null {
  const decipher = createDecipheriv(CIPHER, key, nonceOf(header), { authTagLength: TAG });
  decipher.setAAD(bytes.subarray(0, HEADER));
  decipher.setAuthTag(bytes.subarray(bytes.length - TAG));
  const body = decipher.update(bytes.subarray(HEADER, bytes.length - TAG));
  try {
    decipher.final();
  } catch {
    // Node.js tells by an exception that the tag does not match: this is the answer, not an accident.
    return null;
  }
  return body;
}

/** The cluster's keys: the first one seals, each one opens. */
export class Keyring {
  private readonly keys: ReadonlyMap<number, Buffer>;
  /** Of the key that seals. */
  readonly primary: number;

  /** @param secrets 32 bytes each */
  constructor(secrets: readonly Buffer[]) {
    assert(secrets.length > 0 && secrets.every((s) => s.length === 32), "keys of 32 bytes");
    const ids = secrets.map((s) => derive(s, Buffer.alloc(0), "id", 4).readUInt32BE(0));
    this.keys = new Map(secrets.map((s, i) => [ids[i] ?? 0, s]));
    this.primary = ids[0] ?? 0;
  }

  has(id: number): boolean {
    return this.keys.has(id);
  }

  /** The key that `from` seals with in that life; null when the ring has no such key. */
  of(id: number, from: number, life: bigint): Buffer | null {
    const secret = this.keys.get(id);
    if (secret === undefined) return null;
    const salt = Buffer.alloc(10);
    salt.writeUInt16BE(from, 0);
    salt.writeBigUInt64BE(life, 2);
    return derive(secret, salt, "seal", 32);
  }
}

const derive = (secret: Buffer, salt: Buffer, purpose: string, bytes: number): Buffer =>
  Buffer.from(hkdfSync("sha256", secret, salt, `tesela gossip 1 ${purpose}`, bytes));

/** A number that only who holds `secret` can make, for these things. */
export function tokenOf(secret: Buffer, node: number, life: bigint, serial: number): bigint {
  const what = Buffer.alloc(16);
  what.writeUInt16BE(node, 0);
  what.writeBigUInt64BE(life, 2);
  what.writeUIntBE(serial, 10, 6);
  return createHmac("sha256", secret).update(what).digest().readBigUInt64BE(0);
}
