import { constants } from "node:crypto";
import { createSecureContext, type SecureContext, type SecureContextOptions, type SecureVersion } from "node:tls";
import type { NodeId } from "../base/mod.ts";
import type { Credentials } from "./credentials.ts";

/**
 * AES-128-GCM first: with the CPU's AES instructions it is the fastest of TLS 1.3's three, and 128 bits are enough. The 256-bit one is
 * there for sites that demand it (a peer that offers only that is served).
 */
export const CIPHERS = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384";
const TLS_VERSION: SecureVersion = "TLSv1.3";

export function contextOptions(c: Credentials): SecureContextOptions {
  return {
    ca: c.ca,
    cert: c.cert,
    key: c.key,
    minVersion: TLS_VERSION,
    maxVersion: TLS_VERSION,
    ciphers: CIPHERS,
    // No renewed trust from an old handshake: a certificate is looked at each time.
    secureOptions: constants.SSL_OP_NO_TICKET,
    sessionTimeout: 1,
  };
}

export function secureContext(c: Credentials): SecureContext {
  return createSecureContext(contextOptions(c));
}

/** Route labels travel as the first label of the server name. */
export const ROUTE = /^[a-z0-9-]{1,32}$/;

export function serverName(node: NodeId, route: string): string {
  return `${route === "" ? "" : `${route}.`}n${node}.tesela`;
}

/** The route in a server name, "" when it has none. */
export function routeOf(name: string): string {
  return /^([a-z0-9-]{1,32})\.n\d{1,5}\.tesela$/.exec(name)?.[1] ?? "";
}
