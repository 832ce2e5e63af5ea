import { createPrivateKey, createPublicKey, KeyObject, webcrypto } from "node:crypto";
import { TeselaError } from "../base/mod.ts";
import { ALGORITHM } from "./ca.ts";
import { loadX509 } from "./x509.ts";

/** A P-256 request has 0.3 KB. */
export const MAX_CSR = 2048;

/** A new key pair: the private key as PEM, which stays on this machine. */
export async function newKey(): Promise<string> {
  const { privateKey } = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  return KeyObject.from(privateKey).export({ type: "pkcs8", format: "pem" }).toString();
}

/** A certificate request (PKCS #10, DER): the public key, signed by its own private key. What the certificate says, the CA decides. */
export async function makeRequest(key: string): Promise<Buffer> {
  const x509 = await loadX509();
  const privateKey = createPrivateKey(key).toCryptoKey(ALGORITHM, false, ["sign"]);
  const publicKey = createPublicKey(key).toCryptoKey(ALGORITHM, true, ["verify"]);
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: "O=Tesela",
    keys: { privateKey, publicKey },
    signingAlgorithm: ALGORITHM,
  });
  return Buffer.from(csr.rawData);
}

/**
 * The public key of a request whose sender has the private one.
 * @throws E_PROTOCOL when it is no request, is not signed by its own key, or has a key of another kind
 */
export async function requestedKey(csr: Uint8Array): Promise<webcrypto.CryptoKey> {
  const x509 = await loadX509();
  const wrong = (what: string, cause?: unknown) =>
    new TeselaError("E_PROTOCOL", `the certificate request ${what}`, {}, cause === undefined ? {} : { cause });
  if (csr.length > MAX_CSR) throw wrong(`has ${csr.length} bytes`);
  let key: webcrypto.CryptoKey;
  let signed: boolean;
  try {
    const request = new x509.Pkcs10CertificateRequest(Buffer.from(csr));
    // What OpenSSL makes of the key, not what the request says that it is.
    const spki = createPublicKey({ key: Buffer.from(request.publicKey.rawData), type: "spki", format: "der" });
    if (spki.asymmetricKeyDetails?.namedCurve !== "prime256v1") throw wrong("has a key of another kind than P-256");
    key = spki.toCryptoKey(ALGORITHM, true, ["verify"]);
    signed = await request.verify();
  } catch (e) {
    throw e instanceof TeselaError ? e : wrong("cannot be read", e);
  }
  if (!signed) throw wrong("is not signed by its own key");
  return key;
}
