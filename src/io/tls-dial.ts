import { X509Certificate } from "node:crypto";
import type { TcpNetConnectOpts } from "node:net";
import { type ConnectionOptions, connect, type SecureContext, type TLSSocket } from "node:tls";
import { TeselaError } from "../base/mod.ts";
import { type Credentials, provenNode, type Refuses, acceptedKey } from "./credentials.ts";
import { closeSoon, greet } from "./greet.ts";
import { ROUTE, serverName } from "./tls-options.ts";
import type { ConnectOptions, Peer, PeerAddress } from "./transport.ts";

/** From the call of `connect` to the peer's hello. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** The kernel's own probes on a connection without traffic (raw streams; channels ping). */
export const KEEPALIVE_MS = 15_000;

export interface DialContext {
  readonly credentials: Credentials;
  readonly secureContext: SecureContext;
  readonly version: string;
  readonly protocol?: number;
  readonly refuses?: Refuses;
}

/** An authenticated stream whose ends have said hello; `key` is keyHash() of its certificate, `rest` what came behind the peer's hello. */
export async function dial(
  from: DialContext,
  to: PeerAddress,
  alpn: string,
  options: ConnectOptions,
): Promise<{ stream: TLSSocket; peer: Peer; key: string; rest: Buffer }> {
  const { credentials } = from;
  const route = options.route ?? "";
  if (route !== "" && !ROUTE.test(route)) throw new TeselaError("E_INTERNAL", `route '${route}': want 1 to 32 of a-z, 0-9 and '-'`);
  checkValidity(credentials);
  const timeoutMs = options.timeoutMs ?? CONNECT_TIMEOUT_MS;
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  const where = `node ${to.node} at ${to.address}:${to.port}`;
  signal.throwIfAborted();
  let key = "";
  const socketOptions: ConnectionOptions & TcpNetConnectOpts = {
    host: to.address,
    port: to.port,
    secureContext: from.secureContext,
    servername: serverName(to.node, route),
    ALPNProtocols: [alpn],
    checkServerIdentity: (_name, cert) => {
      try {
        // Now or never: a client's TLS socket does not keep the certificate.
        key = checkPeer(cert.raw, from, to);
        return undefined;
      } catch (e) {
        return e as Error;
      }
    },
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEPALIVE_MS,
  };
  const stream = connect(socketOptions);
  let secure = false;
  try {
    await established(stream, signal);
    secure = true;
    const self = { node: credentials.node, name: credentials.name, version: from.version };
    const { peer, rest } = await greet(stream, to.node, from.protocol === undefined ? self : { ...self, protocol: from.protocol }, signal);
    return { stream, peer, key, rest };
  } catch (e) {
    closeSoon(stream);
    if (options.signal?.aborted) throw options.signal.reason;
    if (timeout.aborted) throw new TeselaError("E_TIMEOUT", `${where} did not answer within ${timeoutMs / 1000} s`, { node: to.node });
    throw explain(e, where, to, alpn, secure);
  }
}

/** Resolves at the end of the TLS handshake. */
export function established(stream: TLSSocket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (act: () => void) => {
      stream.off("secureConnect", onSecure).off("error", onError).off("close", onClose);
      signal.removeEventListener("abort", onAbort);
      act();
    };
    const onSecure = () => done(resolve);
    const onError = (e: Error) => done(() => reject(e));
    const onClose = () => done(() => reject(new Error("the connection was closed")));
    const onAbort = () => done(() => reject(signal.reason));
    signal.addEventListener("abort", onAbort, { once: true });
    stream.on("secureConnect", onSecure).on("error", onError).on("close", onClose);
  });
}

function checkPeer(raw: Buffer, { credentials, refuses }: DialContext, to: PeerAddress): string {
  const certificate = new X509Certificate(raw);
  provenNode(certificate, credentials.cluster, to.node);
  return acceptedKey(to.node, certificate, refuses);
}

/** Said here, clearly, rather than found out from a connection that the peer drops. */
function checkValidity(credentials: Credentials): void {
  const cert = new X509Certificate(credentials.cert);
  const now = Date.now();
  if (now > cert.validToDate.getTime()) {
    throw new TeselaError("E_IDENTITY", `this node's certificate expired on ${cert.validToDate.toISOString()}: have it issued anew`);
  }
  if (now < cert.validFromDate.getTime()) {
    throw new TeselaError("E_IDENTITY", `this node's certificate is valid only from ${cert.validFromDate.toISOString()}: check the clock`);
  }
}

/** The codes of a network that does not lead there. */
export const UNREACHABLE = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EHOSTDOWN",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ETIMEDOUT",
  "ENETDOWN",
]);
/** OpenSSL's verdicts on the certificate of the node that was called (verify(1ssl), X509_V_ERR_*). */
const VERDICTS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "its certificate has expired",
  CERT_NOT_YET_VALID: "its certificate is not valid yet: check the clocks",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is not from this cluster's CA",
  UNABLE_TO_GET_ISSUER_CERT: "its certificate is not from this cluster's CA",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate is not from this cluster's CA",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is not from this cluster's CA",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is not from this cluster's CA",
  CERT_SIGNATURE_FAILURE: "its certificate is not from this cluster's CA",
  INVALID_PURPOSE: "its certificate is not one of a node",
};

/** The error a caller of `connect` gets for what the network, OpenSSL or the peer said. */
function explain(e: unknown, where: string, to: PeerAddress, alpn: string, secure: boolean): TeselaError {
  if (e instanceof TeselaError) {
    // The server has our certificate and went away without a word: that is how a refused certificate looks in TLS 1.3.
    if (e.code !== "E_REFUSED" || !secure) return e;
    return new TeselaError("E_IDENTITY", refused(where), { node: to.node });
  }
  const error: NodeJS.ErrnoException = e instanceof Error ? e : new Error(String(e));
  const code = error.code ?? "";
  const details = { node: to.node };
  const because = { cause: error };
  if (UNREACHABLE.has(code)) return new TeselaError("E_NODE_DOWN", `${where} does not answer (${code})`, details, because);
  const verdict = VERDICTS[code];
  if (verdict !== undefined) return new TeselaError("E_IDENTITY", `${where}: ${verdict} (${code})`, details, because);
  if (/no_application_protocol|NO_APPLICATION_PROTOCOL/i.test(`${code} ${error.message}`)) {
    return new TeselaError("E_REFUSED", `${where} does not serve ${alpn}`, details, because);
  }
  if (/ALERT_(?:CERTIFICATE|UNKNOWN_CA|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE)|CERTIFICATE_(?:REQUIRED|EXPIRED|UNKNOWN)/i.test(code)) {
    return new TeselaError("E_IDENTITY", `${where} does not accept this node's certificate (${code})`, details, because);
  }
  if (secure && (code === "ECONNRESET" || code === "EPIPE")) {
    return new TeselaError("E_IDENTITY", refused(where), details, because);
  }
  if (/^ERR_SSL_|^EPROTO$/.test(code))
    return new TeselaError("E_PROTOCOL", `${where} does not speak Tesela's TLS (${code})`, details, because);
  return new TeselaError("E_LINK", `${where}: ${error.message}`, details, because);
}

function refused(where: string): string {
  return `${where} ended the connection when it saw this node's certificate: it does not accept it, or is just stopping; its log says why`;
}
