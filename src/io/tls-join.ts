/** The one kind of connection whose dialler has no certificate yet: a machine that joins a cluster. */
import { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import { type NodeId, TeselaError } from "../base/mod.ts";
import { type Credentials, provenNode } from "./credentials.ts";
import { HANDSHAKE_MS } from "./tls-accept.ts";
import { established, UNREACHABLE } from "./tls-dial.ts";
import { Handshakes } from "./tls-handshakes.ts";
import { CIPHERS, contextOptions, serverName } from "./tls-options.ts";
import { ALPN } from "./transport.ts";

const BINDING_BYTES = 32;
const BINDING_LABEL = "EXPORTER-tesela-join";

const bindingOf = (socket: TLSSocket): Buffer => socket.exportKeyingMaterial(BINDING_BYTES, BINDING_LABEL, Buffer.alloc(0));

/** With the CA's certificate behind the node's: the other end knows only its fingerprint. */
const withChain = (c: Credentials): Credentials => ({ ...c, cert: `${c.cert}${c.ca}` });

/** The serving half: TLS 1.3 with our certificate only. What the other end is, it has to prove inside. */
export class JoinAcceptor implements Disposable {
  private readonly handshakes: Handshakes;

  constructor(credentials: Credentials) {
    this.handshakes = new Handshakes({
      ...contextOptions(withChain(credentials)),
      requestCert: false,
      ALPNProtocols: [ALPN.JOIN],
      handshakeTimeout: HANDSHAKE_MS,
    });
  }

  use(credentials: Credentials): void {
    this.handshakes.use(withChain(credentials));
  }

  /** @throws E_PROTOCOL, E_IDENTITY, or the signal's reason; the connection is closed then */
  async accept(raw: Socket, signal: AbortSignal): Promise<{ stream: TLSSocket; binding: Buffer }> {
    const stream = await this.handshakes.secure(raw, signal);
    if (stream.alpnProtocol !== ALPN.JOIN || stream.isSessionReused()) {
      stream.destroy();
      throw new TeselaError("E_PROTOCOL", "a joining machine changed its mind in the handshake");
    }
    stream.setNoDelay(true);
    return { stream, binding: bindingOf(stream) };
  }

  [Symbol.dispose](): void {
    this.handshakes[Symbol.dispose]();
  }
}

/** What a joining machine knows, from its token, of the node that it calls. */
export interface JoinTarget {
  readonly address: string;
  readonly port: number;
  readonly cluster: string;
  readonly node: NodeId;
  /** SHA-256 of the CA's certificate, 32 bytes. */
  readonly fingerprint: Buffer;
}

export interface JoinConnection {
  readonly stream: TLSSocket;
  readonly binding: Buffer;
  /** The CA's certificate, which has the fingerprint that was asked for; PEM. */
  readonly ca: string;
  /** Our own address on the way there. */
  readonly localAddress: string;
}

/**
 * Calls a node as a machine without a certificate. Returns when the node has proven to be the one that the token names; nothing but the
 * handshake has been sent by then.
 * @throws TeselaError E_NODE_DOWN, E_TIMEOUT, E_IDENTITY (somebody else answers there), E_REFUSED (it lets nobody join)
 */
export async function dialJoin(to: JoinTarget, timeoutMs: number): Promise<JoinConnection> {
  const where = `${to.address}:${to.port}`;
  const stream = connect({
    host: to.address,
    port: to.port,
    servername: serverName(to.node, ""),
    ALPNProtocols: [ALPN.JOIN],
    minVersion: "TLSv1.3",
    ciphers: CIPHERS,
    // There is nothing yet to verify it with: see proven().
    rejectUnauthorized: false,
  });
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    await established(stream, signal);
    if (stream.alpnProtocol !== ALPN.JOIN) throw new TeselaError("E_REFUSED", `${where} does not serve machines that join`);
    const ca = provenBy(stream, to);
    stream.setNoDelay(true);
    return { stream, binding: bindingOf(stream), ca, localAddress: stream.localAddress ?? "" };
  } catch (e) {
    stream.on("error", () => {});
    stream.destroy();
    throw explain(e, where, signal);
  }
}

/** Checks the chain that the node has sent, whose key TLS has seen it use; returns the CA's PEM. */
function provenBy(stream: TLSSocket, to: JoinTarget): string {
  const wrong = (what: string) => new TeselaError("E_IDENTITY", `${to.address}:${to.port}: ${what}`);
  const sent = stream.getPeerCertificate(true);
  if (sent?.raw === undefined || sent.issuerCertificate?.raw === undefined)
    throw wrong("it shows no CA: it is no node of the token's cluster");
  const leaf = new X509Certificate(sent.raw);
  const ca = new X509Certificate(sent.issuerCertificate.raw);
  const fingerprint = Buffer.from(ca.fingerprint256.replaceAll(":", ""), "hex");
  if (!fingerprint.equals(to.fingerprint)) {
    throw wrong(
      `the fingerprint of its CA is ${short(fingerprint)}, the token's is ${short(to.fingerprint)}: another cluster, or somebody in between`,
    );
  }
  if (!ca.ca || !leaf.checkIssued(ca) || !leaf.verify(ca.publicKey)) throw wrong("its certificate is not from the CA that it shows");
  const now = Date.now();
  for (const c of [leaf, ca]) {
    if (now > c.validToDate.getTime()) throw wrong(`its certificate ended on ${c.validToDate.toISOString()}: check the clocks`);
    if (now < c.validFromDate.getTime())
      throw wrong(`its certificate is valid only from ${c.validFromDate.toISOString()}: check the clocks`);
  }
  provenNode(leaf, to.cluster, to.node);
  return ca.toString();
}

const short = (fingerprint: Buffer): string => `${fingerprint.toString("hex").slice(0, 16)}...`;

function explain(e: unknown, where: string, signal: AbortSignal): unknown {
  if (e instanceof TeselaError) return e;
  if (signal.aborted) return new TeselaError("E_TIMEOUT", `${where} did not answer in time`);
  const error = e as NodeJS.ErrnoException;
  if (UNREACHABLE.has(error.code ?? ""))
    return new TeselaError("E_NODE_DOWN", `${where} does not answer (${error.code})`, {}, { cause: e });
  return new TeselaError("E_REFUSED", `${where} ended the connection: no token is open there`, {}, { cause: e });
}
