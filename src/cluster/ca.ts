import { createPrivateKey, KeyObject, randomBytes, webcrypto, X509Certificate } from "node:crypto";
import { type NodeId, TeselaError } from "../base/mod.ts";
import { CLUSTER_NAME, type Credentials, keyHash, nodeUri } from "../io/mod.ts";
import { loadX509 } from "./x509.ts";

/** A cluster's certificate authority: PEM texts. Whoever has `key` can make nodes; it stays where `tesela init` ran. */
export interface ClusterCa {
  readonly cluster: string;
  readonly cert: string;
  readonly key: string;
  /** How long the certificates that it issues are good; NODE_DAYS unless given. */
  readonly days?: number;
}

export const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;
/** A cluster outlives its machines. */
export const CA_DAYS = 20 * 365;
/**
 * Nodes have their certificates renewed when a third of the time is left, so this is three times as long as a node may be switched off,
 * or all that hold the CA's key, before it has to join again. What a stolen key is worth, it does not decide: its node is removed.
 */
export const NODE_DAYS = 365;
/** Certificates begin in the past by this much, for machines whose clocks are behind. */
export const BACKDATE_MS = DAY_MS;

/**
 * A new cluster: a CA of its own, ECDSA P-256, self-signed, that may issue node certificates and nothing below them.
 * @throws E_USAGE when the name is not 1 to 32 of a-z, 0-9 and '-'.
 */
export async function createCluster(cluster: string, validity: Validity = {}): Promise<ClusterCa> {
  if (!CLUSTER_NAME.test(cluster))
    throw new TeselaError("E_USAGE", `cluster name '${cluster}': want 1 to 32 of a-z, 0-9 and '-', no '-' at the ends`);
  const x509 = await loadX509();
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `O=Tesela, OU=${cluster}, CN=cluster CA`,
    ...dates(validity, CA_DAYS),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cluster, cert: `${cert.toString("pem")}\n`, key: privatePem(keys.privateKey) };
}

/** For tests and renewals: other dates than the usual ones, in milliseconds since 1970. */
export interface Validity {
  readonly notBefore?: number;
  readonly notAfter?: number;
}

/** A new key and certificate for a node: all it needs to be a member. */
export async function issueNode(ca: ClusterCa, node: NodeId, name: string, validity: Validity = {}): Promise<Credentials> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const cert = await certify(ca, node, keys.publicKey, validity);
  return { cluster: ca.cluster, node, name, ca: ca.cert, cert, key: privatePem(keys.privateKey) };
}

/** A certificate for a node that keeps its own private key; PEM. */
export async function certify(ca: ClusterCa, node: NodeId, publicKey: webcrypto.CryptoKey, validity: Validity = {}): Promise<string> {
  const x509 = await loadX509();
  const issuer = new x509.X509Certificate(ca.cert);
  const cert = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: `O=Tesela, OU=${ca.cluster}, CN=node-${node}`,
    issuer: issuer.subject,
    ...dates(validity, ca.days ?? NODE_DAYS),
    publicKey,
    signingKey: signingKey(ca),
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension([{ type: "url", value: nodeUri(ca.cluster, node) }]),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return `${cert.toString("pem")}\n`;
}

/** keyHash() of a certificate in PEM form. */
export const certificateKeyHash = (pem: string): string => keyHash(new X509Certificate(pem));

/** SHA-256 of the CA certificate, 32 bytes: what names a cluster without doubt. */
export function caFingerprint(caPem: string): Buffer {
  return Buffer.from(new X509Certificate(caPem).fingerprint256.replaceAll(":", ""), "hex");
}

function dates(validity: Validity, days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(validity.notBefore ?? now - BACKDATE_MS), notAfter: new Date(validity.notAfter ?? now + days * DAY_MS) };
}

/** 126 random bits, positive and without a leading zero byte (RFC 5280 section 4.1.2.2). */
function serial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] as number) & 0x3f) | 0x40;
  return bytes.toString("hex");
}

function privatePem(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ type: "pkcs8", format: "pem" }).toString();
}

function signingKey(ca: ClusterCa): webcrypto.CryptoKey {
  return createPrivateKey(ca.key).toCryptoKey(ALGORITHM, false, ["sign"]);
}
