import { createPrivateKey, type KeyObject, randomBytes, sign, verify } from "node:crypto";
import { MAX_NODE_ID, TeselaError } from "../base/mod.ts";
import type { ClusterCa } from "./ca.ts";
import type { Entry } from "./record.ts";

/** The number of a node that had gone when a key was made, and the epoch of the entry that says so. */
export type Departure = readonly [id: number, epoch: number];

/**
 * A gossip key that was made because nodes had gone. The CA's holder signs it, as it signs that they are gone, so that no other node can
 * lead the cluster to a key of its own. `gone` says who is not to have it.
 */
export interface SignedKey {
  /** 64 hexadecimal digits, small letters. */
  readonly secret: string;
  /** The one that came before, and 1. The key of `tesela init` is of generation 0, and nobody signed it. */
  readonly generation: number;
  readonly gone: readonly Departure[];
  /** ECDSA P-256 with SHA-256, r and s (IEEE P1363), base64url. */
  readonly sig: string;
}

export const GOSSIP_KEY_BYTES = 32;
const MAX_NUMBER = 2 ** 32;
const DSA = "ieee-p1363";

/** Neither a certificate nor an entry of the membership begins like this. */
const signedText = (cluster: string, k: Omit<SignedKey, "sig">): Buffer =>
  Buffer.from(JSON.stringify(["tesela gossip key 1", cluster, k.generation, k.secret, k.gone]));

/** Those that a record says are no members any more. */
export const departures = (entries: readonly Entry[]): Departure[] =>
  entries.flatMap((e) => (e.standing === "member" ? [] : [[e.id, e.epoch] as const]));

/** A new key, for all but those in `gone`. */
export function signKey(ca: ClusterCa, generation: number, gone: readonly Departure[]): SignedKey {
  const key = { secret: randomBytes(GOSSIP_KEY_BYTES).toString("hex"), generation, gone };
  const signature = sign("sha256", signedText(ca.cluster, key), { key: createPrivateKey(ca.key), dsaEncoding: DSA });
  return { ...key, sig: signature.toString("base64url") };
}

export function isSigned(key: SignedKey, cluster: string, ca: KeyObject): boolean {
  return verify("sha256", signedText(cluster, key), { key: ca, dsaEncoding: DSA }, Buffer.from(key.sig, "base64url"));
}

/** A total order, so that all nodes agree at last whatever they hear first. Null: the key that nobody signed. */
export function isLater(a: SignedKey, b: SignedKey | null): boolean {
  if (b === null || a.generation !== b.generation) return a.generation > (b?.generation ?? 0);
  return a.sig > b.sig;
}

/** Whether a key was made in the knowledge that these are gone. */
export function covers(key: SignedKey | null, gone: readonly Departure[]): boolean {
  const known = new Map(key?.gone ?? []);
  return gone.every(([id, epoch]) => (known.get(id) ?? 0) >= epoch);
}

/** Whether a node may have a key: it is not one that it was made against, or has been let in again since. @param epoch of what is known of it */
export function mayHave(key: SignedKey, node: number, epoch: number): boolean {
  return key.gone.every(([id, out]) => id !== node || epoch > out);
}

/** @throws TeselaError E_PROTOCOL */
export function checkKey(value: unknown): SignedKey {
  const { secret, generation, gone, sig } = (value ?? {}) as { readonly [field: string]: unknown };
  const whole = (v: unknown, below: number): boolean => Number.isInteger(v) && (v as number) >= 1 && (v as number) < below;
  const good =
    typeof secret === "string" &&
    /^[0-9a-f]{64}$/.test(secret) &&
    whole(generation, MAX_NUMBER) &&
    Array.isArray(gone) &&
    gone.length <= MAX_NODE_ID &&
    gone.every((d: unknown) => Array.isArray(d) && d.length === 2 && whole(d[0], MAX_NODE_ID + 1) && whole(d[1], MAX_NUMBER)) &&
    typeof sig === "string" &&
    /^[\w-]{86}$/.test(sig);
  if (!good) throw new TeselaError("E_PROTOCOL", "what should be a gossip key is none");
  return { secret: secret as string, generation: generation as number, gone: gone as Departure[], sig: sig as string };
}

/** A line of `gossip.key`: secret, generation, who is gone as `3.2,30.1` or `-`, signature. */
export function formatKey({ secret, generation, gone, sig }: SignedKey): string {
  return `${secret} ${generation} ${gone.map((d) => d.join(".")).join(",") || "-"} ${sig}\n`;
}

/** @throws TeselaError E_PROTOCOL */
export function parseKey(line: string): SignedKey {
  const [secret, generation, gone = "", sig] = line.split(" ");
  const list = gone === "-" ? [] : gone.split(",").map((d) => d.split(".").map(Number));
  return checkKey({ secret, generation: Number(generation), gone: list, sig });
}
