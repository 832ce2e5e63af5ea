import { createHash, type X509Certificate } from "node:crypto";
import { type NodeId, nodeId, TeselaError } from "../base/mod.ts";

/** What a node proves itself with; PEM texts. `cluster` and `node` are what `cert` says. */
export interface Credentials {
  readonly cluster: string;
  readonly node: NodeId;
  readonly name: string;
  /** The cluster CA's certificate: the only one trusted. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface NodeName {
  readonly cluster: string;
  readonly node: NodeId;
}

/** Cluster names: what fits in a host name label and in a URI without escapes. */
export const CLUSTER_NAME = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;

/** The subject alternative name (type URI) that makes a certificate one of a node. */
export function nodeUri(cluster: string, node: NodeId): string {
  return `tesela://${cluster}/node/${node}`;
}

/** The node a certificate names, by its only URI; null when it is no certificate of a node. */
export function nodeOfCertificate(certificate: Pick<X509Certificate, "subjectAltName"> | undefined): NodeName | null {
  const uris = (certificate?.subjectAltName ?? "").split(", ").filter((part) => part.startsWith("URI:"));
  const m = uris.length === 1 ? /^URI:tesela:\/\/([a-z0-9-]+)\/node\/([1-9]\d{0,4})$/.exec(uris[0] as string) : null;
  if (m === null || !CLUSTER_NAME.test(m[1] as string) || Number(m[2]) > 65535) return null;
  return { cluster: m[1] as string, node: nodeId(Number(m[2])) };
}

/** Throws E_IDENTITY unless the certificate names a node of this cluster, and `expected` when that is given. */
export function provenNode(certificate: X509Certificate | undefined, cluster: string, expected?: NodeId): NodeId {
  const named = nodeOfCertificate(certificate);
  if (named === null) throw new TeselaError("E_IDENTITY", "the peer's certificate names no node");
  if (named.cluster !== cluster)
    throw new TeselaError("E_IDENTITY", `the peer is a node of cluster '${named.cluster}', this is '${cluster}'`);
  if (expected !== undefined && named.node !== expected) {
    throw new TeselaError("E_IDENTITY", `node ${named.node} answered where node ${expected} was called: check the addresses of the nodes`);
  }
  return named.node;
}

/** Why a node's certificate is refused although the cluster's CA issued it, null when it is not. `key`: keyHash() of its certificate. */
export type Refuses = (node: NodeId, key: string) => string | null;

/** SHA-256 of a certificate's public key (SubjectPublicKeyInfo, DER), base64url: names a node's key over all its certificates. */
export function keyHash(certificate: Pick<X509Certificate, "publicKey">): string {
  return createHash("sha256")
    .update(certificate.publicKey.export({ type: "spki", format: "der" }))
    .digest("base64url");
}

/**
 * The hash of a proven node's key.
 * @throws E_IDENTITY when `refuses` has something against the certificate
 */
export function acceptedKey(node: NodeId, certificate: X509Certificate | undefined, refuses: Refuses | undefined): string {
  if (certificate === undefined) throw new TeselaError("E_IDENTITY", `node ${node} has no certificate`);
  const key = keyHash(certificate);
  const why = refuses?.(node, key) ?? null;
  if (why !== null) throw new TeselaError("E_IDENTITY", `node ${node} is refused: ${why}`, { node });
  return key;
}
