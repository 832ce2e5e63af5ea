import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { MAX_NODE_ID, TeselaError, toTeselaError } from "../base/mod.ts";
import type { ClusterCa } from "./ca.ts";
import { checkPeer, type Peer } from "./config.ts";

/** `left` and `removed` nodes are refused, and their numbers stay theirs until a token is used to take one up again. */
export type Standing = "member" | "left" | "removed";
export type FormerStanding = Exclude<Standing, "member">;

/**
 * What the CA says of one node: the only key that is the node's, and whether it is a member. Signed one by one, so that any node can pass
 * it on, in any order, and records that grew apart become one again: of two entries about a node the one of the later epoch holds.
 */
export interface Entry extends Peer {
  readonly epoch: number;
  readonly standing: Standing;
  /** keyHash() of the node's certificates. */
  readonly key: string;
  /** ECDSA P-256 with SHA-256 over signedText(), r and s (IEEE P1363), base64url. */
  readonly sig: string;
}
export type Unsigned = Omit<Entry, "sig">;

const RANK: Readonly<{ [S in Standing]: number }> = { member: 0, left: 1, removed: 2 };
const MAX_EPOCH = 2 ** 32;
const DSA = "ieee-p1363";
/** A signature takes a tenth of a millisecond to find wrong. */
const MAX_REFUSED = 16;

function rethrow(e: TeselaError): never {
  throw e;
}

/** Nothing else that the CA signs begins like this: certificates are DER. */
function signedText(cluster: string, e: Unsigned): Buffer {
  const fields = ["tesela member 1", cluster, e.id, e.epoch, e.standing, e.name, e.address, e.port, e.key];
  return Buffer.from(JSON.stringify(fields));
}

export function signEntry(ca: ClusterCa, entry: Unsigned): Entry {
  const key = createPrivateKey(ca.key);
  return { ...entry, sig: sign("sha256", signedText(ca.cluster, entry), { key, dsaEncoding: DSA }).toString("base64url") };
}

/** Members and former members of a cluster, as far as they are known here. */
export class MemberRecord {
  readonly cluster: string;
  private readonly ca: KeyObject;
  private readonly entries = new Map<number, Entry>();
  private known: string | null = null;

  /**
   * @param ca PEM
   * @param trusted entries that were verified before, as this node's own file
   */
  constructor(cluster: string, ca: string, trusted: readonly Entry[] = []) {
    this.cluster = cluster;
    this.ca = createPublicKey(ca);
    for (const entry of trusted) this.entries.set(entry.id, entry);
  }

  get(id: number): Entry | undefined {
    return this.entries.get(id);
  }
  all(): Entry[] {
    return [...this.entries.values()].sort((a, b) => a.id - b.id);
  }

  /** Two records with the same digest say the same. 32 hex digits. */
  get digest(): string {
    this.known ??= createHash("sha256")
      .update(JSON.stringify(this.all().map((e) => [e.id, e.sig])))
      .digest("hex")
      .slice(0, 32);
    return this.known;
  }

  /**
   * Takes over what is newer there. What is no entry, or not the CA's word, is told to `refused`, and the others are taken; after MAX_REFUSED
   * of these the rest is not looked at.
   * @returns the entries that are new here
   */
  merge(entries: readonly unknown[], refused: (why: TeselaError) => void = rethrow): Entry[] {
    const news: Entry[] = [];
    let left = MAX_REFUSED;
    for (const value of entries.slice(0, MAX_NODE_ID)) {
      try {
        const entry = this.newer(value);
        if (entry === null) continue;
        this.entries.set(entry.id, entry);
        this.known = null;
        news.push(entry);
      } catch (e) {
        refused(toTeselaError(e));
        if (--left === 0) break;
      }
    }
    return news;
  }

  /** Null when the entry says nothing new. @throws E_CONFIG, E_PROTOCOL */
  private newer(value: unknown): Entry | null {
    const entry = checkEntry(value);
    const old = this.entries.get(entry.id);
    if (old !== undefined && !isNewer(entry, old)) return null;
    if (!this.isSigned(entry)) throw new TeselaError("E_PROTOCOL", `what is said of node ${entry.id} is not signed by the cluster's CA`);
    return entry;
  }

  /**
   * Why a certificate of that node with that key is refused; null when it is not. Of a node that is not known here the CA's signature
   * on its certificate is enough: word of it is still on its way.
   */
  readonly refuses = (node: number, key: string): string | null => {
    const entry = this.entries.get(node);
    if (entry === undefined) return null;
    if (entry.standing !== "member") return entry.standing === "left" ? "it has left the cluster" : "it was removed from the cluster";
    return entry.key === key ? null : "its key is not the one that the cluster knows it by: it was replaced, or somebody has its old key";
  };

  private isSigned(entry: Entry): boolean {
    const signature = Buffer.from(entry.sig, "base64url");
    return verify("sha256", signedText(this.cluster, entry), { key: this.ca, dsaEncoding: DSA }, signature);
  }
}

/** A total order, so that all records agree at last: later epochs, then the stricter standing, then any. */
function isNewer(a: Entry, b: Entry): boolean {
  if (a.epoch !== b.epoch) return a.epoch > b.epoch;
  if (a.standing !== b.standing) return RANK[a.standing] > RANK[b.standing];
  return a.sig > b.sig;
}

/** @throws TeselaError E_CONFIG */
export function checkEntry(value: unknown, where = "an entry of the membership"): Entry {
  const peer = checkPeer(where, value);
  const { epoch, standing, key, sig } = value as { readonly [name: string]: unknown };
  const good =
    Number.isInteger(epoch) &&
    (epoch as number) >= 1 &&
    (epoch as number) < MAX_EPOCH &&
    typeof standing === "string" &&
    Object.hasOwn(RANK, standing) &&
    typeof key === "string" &&
    /^[\w-]{43}$/.test(key) &&
    typeof sig === "string" &&
    /^[\w-]{86}$/.test(sig);
  if (!good) throw new TeselaError("E_CONFIG", `${where}: what it says of node ${peer.id} is not an entry`);
  return { ...peer, epoch: epoch as number, standing: standing as Standing, key: key as string, sig: sig as string };
}
