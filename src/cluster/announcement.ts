import { MAX_NODE_ID } from "../base/mod.ts";
import type { Random } from "../io/mod.ts";
import { CLUSTER_NAME } from "../io/mod.ts";
import { NODE_NAME } from "./config.ts";
import { HEADER, type Keyring, KIND, readHeader, seal, TAG, unseal } from "./seal.ts";

/** What a node calls out on its networks: who it is, and where it answers. */
export interface Announcement {
  readonly id: number;
  readonly name: string;
  readonly cluster: string;
  /** TCP port. */
  readonly port: number;
  /** All its addresses: whoever knows it by one of these need not change anything. */
  readonly addresses: readonly string[];
}

/** An announcement that was sealed with the cluster's key and is not an old one. */
export interface Heard {
  readonly announcement: Announcement;
  /** It has begun to call since it was last heard, or was never heard: it may not know the others. */
  readonly fresh: boolean;
}

/** For everybody who reads it: the receiver's number in the header. */
const ALL = 0;
export const MAX_ADDRESSES = 16;
const MAX_ADDRESS = 255;
const MAX_ANNOUNCEMENT = 8192;
/** Nodes whose lives are kept; more nodes than numbers there are not. */
const MAX_LIVES = MAX_NODE_ID;

/**
 * Seals and opens announcements. The seal has the datagrams' format (seal.ts) with receiver 0, which sealed links never take. What was
 * heard of a life of a node is not taken twice; a recorded announcement of a former life can be, so announcements say where a node may
 * be, and never that it is not where it answers.
 */
export class Announcer {
  private readonly keys: () => Keyring;
  private readonly life: bigint;
  private count = 0;
  private readonly heard = new Map<number, { life: bigint; count: number }>();

  constructor(keys: () => Keyring, random: Random) {
    this.keys = keys;
    this.life = random.bytes(8).readBigUInt64BE(0);
  }

  seal(announcement: Announcement): Buffer {
    const keys = this.keys();
    const key = keys.of(keys.primary, announcement.id, this.life);
    if (key === null) throw new Error("a ring without its own key");
    const header = {
      kind: KIND.DATA,
      keyId: keys.primary,
      from: announcement.id,
      to: ALL,
      life: this.life,
      token: 0n,
      count: this.count++,
    };
    return seal(key, header, Buffer.from(JSON.stringify(announcement)));
  }

  /** Null for all that is not a new announcement of a node of this cluster. */
  open(bytes: Buffer, cluster: string): Heard | null {
    if (bytes.length > MAX_ANNOUNCEMENT || bytes.length < HEADER + TAG) return null;
    const header = readHeader(bytes);
    if (header === null || header.to !== ALL || header.kind !== KIND.DATA || header.life === this.life) return null;
    const last = this.heard.get(header.from);
    if (last?.life === header.life && header.count <= last.count) return null;
    const key = this.keys().of(header.keyId, header.from, header.life);
    const body = key === null ? null : unseal(key, header, bytes);
    const announcement = body === null ? null : parse(body);
    if (announcement === null || announcement.id !== header.from || announcement.cluster !== cluster) return null;
    if (this.heard.size < MAX_LIVES || last !== undefined) this.heard.set(header.from, { life: header.life, count: header.count });
    return { announcement, fresh: last?.life !== header.life };
  }
}

function parse(body: Buffer): Announcement | null {
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch {
    // Another version's, or a bug of the sender's: not an announcement.
    return null;
  }
  const { id, name, cluster, port, addresses } = (value ?? {}) as { readonly [field: string]: unknown };
  const good =
    Number.isInteger(id) &&
    typeof name === "string" &&
    NODE_NAME.test(name) &&
    typeof cluster === "string" &&
    CLUSTER_NAME.test(cluster) &&
    Number.isInteger(port) &&
    (port as number) >= 1 &&
    (port as number) <= 65535 &&
    Array.isArray(addresses) &&
    addresses.length <= MAX_ADDRESSES &&
    addresses.every((a) => typeof a === "string" && a !== "" && a.length <= MAX_ADDRESS);
  if (!good) return null;
  return { id: id as number, name: name as string, cluster: cluster as string, port: port as number, addresses: addresses as string[] };
}
