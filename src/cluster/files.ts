import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { TeselaError } from "../base/mod.ts";
import { type Credentials, nodeOfCertificate } from "../io/mod.ts";
import type { ClusterCa } from "./ca.ts";

/** Names in the identity directory. `ca.key` is there only where `tesela init` ran. */
export const IDENTITY_FILES = {
  ca: "ca.pem",
  cert: "node.pem",
  key: "node.key",
  caKey: "ca.key",
  gossipKey: "gossip.key",
  caJson: "ca.json",
} as const;

/** Writes a node's identity into `dir` (made with mode 0700; keys 0600), each file whole or not at all. */
export function saveIdentity(dir: string, credentials: Credentials): void {
  prepare(dir);
  writeIdentityFile(dir, IDENTITY_FILES.ca, credentials.ca, 0o644);
  writeIdentityFile(dir, IDENTITY_FILES.key, credentials.key, 0o600);
  writeIdentityFile(dir, IDENTITY_FILES.cert, credentials.cert, 0o644);
}

/** A new certificate for the key that is there already. */
export const saveCertificate = (dir: string, cert: string): void => writeIdentityFile(dir, IDENTITY_FILES.cert, cert, 0o644);

/** Writes the CA's key beside the identity: this node can then make others. */
export function saveCa(dir: string, ca: ClusterCa): void {
  prepare(dir);
  writeIdentityFile(dir, IDENTITY_FILES.ca, ca.cert, 0o644);
  writeIdentityFile(dir, IDENTITY_FILES.caKey, ca.key, 0o600);
  if (ca.days !== undefined) writeIdentityFile(dir, IDENTITY_FILES.caJson, `${JSON.stringify({ days: ca.days })}\n`, 0o644);
}

/**
 * Reads and checks a node's identity; cluster and number are what its certificate says.
 * @param name the node's name, from node.json; `nN` unless given
 * @throws E_CONFIG when a file is absent or a key is open to others, E_IDENTITY when the files do not make an identity
 */
export function loadIdentity(dir: string, name?: string): Credentials {
  const [ca, cert, key] = [IDENTITY_FILES.ca, IDENTITY_FILES.cert, IDENTITY_FILES.key].map((file) => readIdentityFile(dir, file)) as [
    string,
    string,
    string,
  ];
  const { cluster, node } = checkIdentity({ ca, cert, key }, dir);
  return { cluster, node, name: name ?? `n${node}`, ca, cert, key };
}

/** @throws E_CONFIG when the CA's key is not on this node */
export function loadCa(dir: string): ClusterCa {
  const cert = readIdentityFile(dir, IDENTITY_FILES.ca);
  const key = readIdentityFile(dir, IDENTITY_FILES.caKey);
  const parsed = certificate(cert, `${dir}/${IDENTITY_FILES.ca}`);
  if (!parsed.checkPrivateKey(privateKey(key, `${dir}/${IDENTITY_FILES.caKey}`))) {
    throw new TeselaError("E_IDENTITY", `${dir}: ${IDENTITY_FILES.caKey} is not the key of ${IDENTITY_FILES.ca}`);
  }
  const cluster = /^OU=(.+)$/m.exec(parsed.subject)?.[1];
  if (cluster === undefined) throw new TeselaError("E_IDENTITY", `${dir}/${IDENTITY_FILES.ca} is not the CA of a cluster`);
  return { cluster, cert, key, ...settings(dir) };
}

function settings(dir: string): { days?: number } {
  const file = `${dir}/${IDENTITY_FILES.caJson}`;
  if (!existsSync(file)) return {};
  const { days } = JSON.parse(readFileSync(file, "utf8")) as { days?: unknown };
  if (typeof days !== "number" || !(days > 0)) throw new TeselaError("E_CONFIG", `${file}: days is ${JSON.stringify(days)}: want a number`);
  return { days };
}

/** Whether this node can make others. */
export const holdsCa = (dir: string): boolean => existsSync(`${dir}/${IDENTITY_FILES.caKey}`);

/** What the certificate names, when certificate, key and CA belong together and are valid now. `where` goes into the messages. */
export function checkIdentity(
  pem: Pick<Credentials, "ca" | "cert" | "key">,
  where: string,
  now = Date.now(),
): Pick<Credentials, "cluster" | "node"> {
  const ca = certificate(pem.ca, `${where}: the CA`);
  const cert = certificate(pem.cert, `${where}: the node's certificate`);
  const wrong = (what: string) => new TeselaError("E_IDENTITY", `${where}: ${what}`);
  if (!ca.ca) throw wrong("the CA's certificate is not one of a CA");
  if (!cert.checkIssued(ca) || !cert.verify(ca.publicKey))
    throw wrong("the node's certificate is not from this CA: join the cluster again");
  if (!cert.checkPrivateKey(privateKey(pem.key, `${where}: the node's key`)))
    throw wrong("the node's key is not the one of its certificate");
  for (const [what, c] of [
    ["CA", ca],
    ["node", cert],
  ] as const) {
    if (now > c.validToDate.getTime())
      throw wrong(`the ${what}'s certificate expired on ${c.validToDate.toISOString()}: have it issued anew`);
    if (now < c.validFromDate.getTime())
      throw wrong(`the ${what}'s certificate is valid only from ${c.validFromDate.toISOString()}: check the clock`);
  }
  const named = nodeOfCertificate(cert);
  if (named === null) throw wrong("the certificate names no node");
  return named;
}

function certificate(pem: string, what: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (e) {
    throw new TeselaError("E_IDENTITY", `${what} is not a certificate in PEM form`, {}, { cause: e });
  }
}

function privateKey(pem: string, what: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (e) {
    throw new TeselaError("E_IDENTITY", `${what} is not a private key in PEM form`, {}, { cause: e });
  }
}

function prepare(dir: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  chmodSync(dir, 0o700);
}

export function writeIdentityFile(dir: string, name: string, text: string, mode: number): void {
  const path = `${dir}/${name}`;
  const fresh = `${path}.${process.pid}.new`;
  writeFileSync(fresh, text, { mode, flag: "wx" });
  // The umask may have taken bits away, never added any.
  chmodSync(fresh, mode);
  renameSync(fresh, path);
}

export function readIdentityFile(dir: string, name: string): string {
  const path = `${dir}/${name}`;
  try {
    const mode = statSync(path).mode;
    if (name.endsWith(".key") && (mode & 0o077) !== 0) {
      throw new TeselaError("E_CONFIG", `${path} may be read by others (mode ${(mode & 0o777).toString(8)}): chmod 600 it, or join again`);
    }
    return readFileSync(path, "utf8");
  } catch (e) {
    if (e instanceof TeselaError) throw e;
    const code = (e as NodeJS.ErrnoException).code;
    const hint = code === "ENOENT" ? "it is not there: run 'tesela init' or 'tesela join'" : (e as Error).message;
    throw new TeselaError("E_CONFIG", `${path}: ${hint}`, {}, { cause: e });
  }
}
