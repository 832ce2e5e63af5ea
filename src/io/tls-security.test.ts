/** What the listener does with those who are not nodes of its cluster, and a dialler with what is not the node it called. */
import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { test } from "node:test";
import { type ConnectionOptions, connect as connectTls, createServer, type TLSSocket } from "node:tls";
import { nodeId, TeselaError } from "../base/mod.ts";
import { type ClusterCa, createCluster, issueNode, loadX509 } from "../cluster/mod.ts";
import { codec } from "../wire/mod.ts";
import type { Credentials } from "./credentials.ts";
import { MAX_STRANGERS } from "./tls-listener.ts";
import { TlsTransport } from "./tls-transport.ts";
import { type Channel, channels, type Listener } from "./transport.ts";
import { N1, N2 } from "./transport-conformance.ts";

const ALPN = "tesela-test/1";
const LOOPBACK = "127.0.0.1";
const DAY_MS = 86_400_000;
/** Where a test does not wait for it: who is let in is, however busy the machine, and what is dropped sooner was not dropped for it. */
const HANDSHAKE_MS = 30_000;
/** Where a test waits for it: who belongs is let in within that, too. */
const SHORT_MS = 3000;
const ca = await createCluster("secure");
const otherCa = await createCluster("secure");
const [own, peer] = [await issueNode(ca, N1, "h1"), await issueNode(ca, N2, "h2")];

interface Served extends AsyncDisposable {
  readonly port: number;
  readonly opened: Channel[];
}

async function serve(credentials = own, handshakeMs = HANDSHAKE_MS): Promise<Served> {
  const opened: Channel[] = [];
  const transport = new TlsTransport({ credentials, version: "0.1.0", host: LOOPBACK, port: 0, handshakeMs });
  const listener: Listener = await transport.listen({ [ALPN]: channels((c) => opened.push(c)) });
  return { port: listener.port, opened, [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose]() };
}

const dial = (port: number, credentials = peer) =>
  new TlsTransport({ credentials, version: "0.1.0" }).connect({ node: N1, address: LOOPBACK, port }, ALPN);

/** The listener still serves those who belong. */
async function stillServes(served: Served): Promise<void> {
  const before = served.opened.length;
  const channel = await dial(served.port);
  channel.close();
  assert.equal(await channel.closed, null);
  assert.equal(served.opened.length, before + 1);
}

/** Everything a connection receives until it ends, and for how long it lived. */
async function fate(socket: Socket): Promise<{ data: Buffer; ms: number }> {
  const start = performance.now();
  const parts: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => parts.push(chunk));
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("close", resolve));
  return { data: Buffer.concat(parts), ms: performance.now() - start };
}

function rawTls(port: number, options: ConnectionOptions): TLSSocket {
  return connectTls({
    host: LOOPBACK,
    port,
    ca: ca.cert,
    checkServerIdentity: () => undefined,
    ALPNProtocols: [ALPN],
    servername: "n1.tesela",
    ...options,
  });
}

/** A leaf of the cluster's CA that is no node's. */
async function strangeLeaf(from: ClusterCa, uris: readonly string[]): Promise<Pick<Credentials, "cert" | "key">> {
  const x509 = await loadX509();
  const { createPrivateKey, KeyObject } = await import("node:crypto");
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const cert = await x509.X509CertificateGenerator.create({
    serialNumber: "4a",
    subject: "O=Tesela, OU=secure, CN=node-2",
    issuer: new x509.X509Certificate(from.cert).subject,
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + DAY_MS),
    publicKey: keys.publicKey,
    signingKey: createPrivateKey(from.key).toCryptoKey(algorithm, false, ["sign"]),
    signingAlgorithm: algorithm,
    extensions: uris.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(uris.map((value) => ({ type: "url" as const, value })))],
  });
  return { cert: cert.toString("pem"), key: KeyObject.from(keys.privateKey).export({ type: "pkcs8", format: "pem" }).toString() };
}

const expired = { notBefore: Date.now() - 3 * DAY_MS, notAfter: Date.now() - DAY_MS };
const strangers: Record<string, () => Promise<ConnectionOptions>> = {
  "no certificate": async () => ({}),
  "a certificate of another CA with the same name": async () => pick(await issueNode(otherCa, N2, "h2")),
  "an expired certificate": async () => pick(await issueNode(ca, N2, "h2", expired)),
  "a certificate that is not valid yet": async () => pick(await issueNode(ca, N2, "h2", { notBefore: Date.now() + DAY_MS })),
  "a certificate of the CA that names no node": () => strangeLeaf(ca, []),
  "a certificate that names a node of another cluster": () => strangeLeaf(ca, ["tesela://elsewhere/node/2"]),
  "a certificate that names two nodes": () => strangeLeaf(ca, ["tesela://secure/node/2", "tesela://secure/node/3"]),
  "a certificate that names node 0": () => strangeLeaf(ca, ["tesela://secure/node/0"]),
  "TLS 1.2": async () => ({ ...pick(peer), maxVersion: "TLSv1.2" }),
};
function pick({ cert, key }: Credentials): ConnectionOptions {
  return { cert, key };
}

for (const [who, options] of Object.entries(strangers)) {
  test(`a client with ${who} gets no protocol byte`, async () => {
    await using served = await serve();
    const socket = rawTls(served.port, await options());
    // Even one that says hello at once, as a client of TLS 1.3 may before it has been judged.
    for (const piece of codec.encode("hello", { protocol: 1, node: 2, name: "h2", version: "0" }, [])) socket.write(piece);
    const { data, ms } = await fate(socket);
    assert.equal(data.length, 0);
    assert.ok(ms < HANDSHAKE_MS, `${ms} ms`);
    assert.equal(served.opened.length, 0);
    await stillServes(served);
  });
}

const garbage: Record<string, Buffer> = {
  HTTP: Buffer.from("GET / HTTP/1.1\r\nHost: h1\r\n\r\n"),
  "one zero": Buffer.from([0]),
  "a record of no length": Buffer.from("1603010000", "hex"),
  "a record that is too long": Buffer.from("160301ffff01", "hex"),
  "a hello that is too long": Buffer.from("160301400001ffffff", "hex"),
  "a server's hello": Buffer.from("160303000402000000", "hex"),
  "an empty client hello": Buffer.from("160301000401000000", "hex"),
  "a client hello cut short inside": Buffer.from(`1603010027010000230303${"00".repeat(32)}ff`, "hex"),
  "a frame": Buffer.concat(codec.encode("ping", { n: 1 }, [])),
};
for (const [what, bytes] of Object.entries(garbage)) {
  test(`${what} instead of TLS is answered with nothing, at once`, async () => {
    await using served = await serve();
    const socket = connectTcp(served.port, LOOPBACK);
    socket.write(bytes);
    const { data, ms } = await fate(socket);
    assert.equal(data.length, 0);
    assert.ok(ms < HANDSHAKE_MS, `${ms} ms`);
    await stillServes(served);
  });
}

test("half-open connections are dropped after the handshake time, also those that drip bytes", async () => {
  await using served = await serve(own, SHORT_MS);
  const idle = connectTcp(served.port, LOOPBACK);
  const dripping = connectTcp(served.port, LOOPBACK);
  const bytes = Buffer.from("16030105c9010005c50303", "hex");
  let at = 0;
  const drip = setInterval(() => dripping.write(bytes.subarray(at, ++at)), SHORT_MS / 8);
  const fates = await Promise.all([fate(idle), fate(dripping)]);
  clearInterval(drip);
  for (const { data, ms } of fates) {
    assert.equal(data.length, 0);
    assert.ok(ms > SHORT_MS / 2 && ms < HANDSHAKE_MS, `${ms} ms`);
  }
  await stillServes(served);
});

test("a node that authenticates and then says nothing, too much or nonsense is dropped", async () => {
  await using served = await serve(own, SHORT_MS);
  const firsts = [
    Buffer.alloc(0),
    Buffer.from("0000f00001000000", "hex"),
    Buffer.concat(codec.encode("ping", { n: 1 }, [])),
    Buffer.alloc(100, 0xee),
  ];
  for (const first of firsts) {
    const socket = rawTls(served.port, pick(peer));
    if (first.length > 0) socket.write(first);
    const { ms } = await fate(socket);
    assert.ok(ms < HANDSHAKE_MS, `${ms} ms`);
  }
  assert.equal(served.opened.length, 0);
  await stillServes(served);
});

test("more strangers than the limit push the oldest out, and members still get in", async () => {
  await using served = await serve(own, SHORT_MS);
  const sockets = Array.from({ length: MAX_STRANGERS + 8 }, () => connectTcp(served.port, LOOPBACK));
  const fates = sockets.map(fate);
  await Promise.all(sockets.map((s) => (s.connecting ? once(s, "connect") : undefined)));
  await stillServes(served);
  const early = await Promise.all(fates.slice(0, 8));
  for (const { data } of early) assert.equal(data.length, 0);
  await Promise.all(fates);
});

test("an ALPN that is not served, and none, are refused without a byte", async () => {
  await using served = await serve();
  for (const ALPNProtocols of [["http/1.1"], []]) {
    const { data } = await fate(rawTls(served.port, { ...pick(peer), ALPNProtocols }));
    assert.equal(data.length, 0);
  }
  await stillServes(served);
});

test("a session cannot be resumed", async () => {
  await using served = await serve(own, SHORT_MS);
  const first = rawTls(served.port, pick(peer));
  let session: Buffer | undefined;
  first.on("session", (s) => {
    session = s;
  });
  await fate(first);
  if (session === undefined) return;
  // Without a certificate of its own: the old session is all it has.
  const second = rawTls(served.port, { session });
  second.write(Buffer.concat(codec.encode("hello", { protocol: 1, node: 2, name: "h2", version: "0" }, [])));
  assert.equal((await fate(second)).data.length, 0);
  assert.equal(served.opened.length, 0);
});

test("garbage and oversized frames after the hello end that channel only, with E_PROTOCOL", async () => {
  await using served = await serve();
  const good = await dial(served.port);
  for (const bad of [Buffer.from("ffffffff0a000000", "hex"), Buffer.alloc(4096, 0xaa)]) {
    const channel = await dial(served.port);
    channel.onMessage(() => {});
    served.opened.at(-1)?.onMessage(() => {});
    channel.sendFrame(bad);
    const reason = await channel.closed;
    assert.ok(reason instanceof TeselaError && reason.code === "E_PROTOCOL", String(reason));
  }
  assert.equal(await Promise.race([good.closed, Promise.resolve("open")]), "open");
});

const identityError = (pattern: RegExp) => (e: unknown) => {
  assert.ok(e instanceof TeselaError);
  assert.equal(e.code, "E_IDENTITY", e.message);
  assert.match(e.message, pattern);
  return true;
};

test("a dialler says clearly what is wrong with the node that answers", async () => {
  for (const [credentials, pattern] of [
    [await issueNode(otherCa, N1, "h1"), /not from this cluster's CA/],
    [await issueNode(ca, N1, "h1", expired), /expired/],
    [await issueNode(ca, nodeId(3), "h3"), /node 3 answered where node 1 was called/],
  ] as const) {
    await using served = await serve(credentials);
    await assert.rejects(dial(served.port), identityError(pattern));
    assert.equal(served.opened.length, 0);
  }
});

test("a dialler says clearly what is wrong with its own certificate", async () => {
  await using served = await serve();
  await assert.rejects(dial(served.port, await issueNode(ca, N2, "h2", expired)), identityError(/this node's certificate expired/));
  // Its CA is ours, its certificate is not: only the other side can tell.
  const { cert, key } = await issueNode(otherCa, N2, "h2");
  await assert.rejects(dial(served.port, { ...peer, cert, key }), identityError(/saw this node's certificate|does not accept/));
});

test("a dialler that reaches no Tesela says so", async () => {
  const web = createServer({ cert: own.cert, key: own.key, ca: ca.cert, ALPNProtocols: ["http/1.1"] });
  const mute = (await import("node:net")).createServer((s) => s.on("data", () => s.end("HTTP/1.1 400 Bad Request\r\n\r\n")));
  try {
    for (const server of [web, mute]) {
      server.listen(0, LOOPBACK);
      await once(server, "listening");
      const { port } = server.address() as { port: number };
      await assert.rejects(dial(port), (e) => e instanceof TeselaError && ["E_REFUSED", "E_PROTOCOL"].includes(e.code));
    }
  } finally {
    web.close();
    mute.close();
  }
});
