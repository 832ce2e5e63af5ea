import { webcrypto } from "node:crypto";

type X509 = typeof import("@peculiar/x509");
let loaded: Promise<X509> | null = null;

/**
 * The certificate library, loaded when a certificate is issued and not before: it takes 0.1 s, and daemons never need it. One of its
 * own dependencies (tsyringe) refuses to load without the reflection polyfill, but asks it only for constructor types, which the
 * library does not use: "none known" is a complete answer.
 */
export function loadX509(): Promise<X509> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<X509> {
  const reflect = Reflect as unknown as Record<string, unknown>;
  for (const name of ["getMetadata", "getOwnMetadata", "defineMetadata"]) reflect[name] ??= () => undefined;
  const x509 = await import("@peculiar/x509");
  x509.cryptoProvider.set(webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[0]);
  return x509;
}
