/** Machines that join over real TLS, and all those that shall not. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import fc from "fast-check";
import { Log, nodeId, nodePaths, type Paths, TeselaError } from "../base/mod.ts";
import {
  caFingerprint,
  certificateKeyHash,
  type ClusterCa,
  createCluster,
  issueNode,
  loadIdentity,
  makeGossipKey,
  newToken,
  proofOf,
  saveCa,
  saveGossipKey,
  saveIdentity,
  type Token,
  TokenStore,
  writeMembership,
} from "../cluster/mod.ts";
import { ALPN, channels, joiners, streams, systemRandom, TlsTransport } from "../io/mod.ts";
import { codec } from "../wire/mod.ts";
import { readPeers } from "./config.ts";
import { Enrolment } from "./enrol.ts";
import { enrolWith, settle } from "../provision/mod.ts";
import { Roster } from "./roster.ts";

const LOOPBACK = "127.0.0.1";
/** Who belongs is let in, however busy the machine: two tests wait for it. */
const HANDSHAKE_MS = 5000;
const GUARD_MS = 20_000;
const WISH = { port: 4661 };
const ca = await createCluster("lab");
const first = await issueNode(ca, nodeId(1), "h1");

/** Lines of a log, kept. */
class Lines extends Log {
  readonly lines: string[] = [];
  private keep = (message: string, fields?: object): void => void this.lines.push(`${message} ${JSON.stringify(fields)}`);
  override warn = this.keep;
  override info = this.keep;
  override error = this.keep;
}

/** A node that holds the CA's key, and its listener as the engine has it. */
class Node implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), "tesela-enrol-"));
  readonly paths: Paths = nodePaths({ TESELA_RUN: join(this.dir, "run"), TESELA_STATE: join(this.dir, "state") });
  readonly log = new Lines();
  readonly tokens = new TokenStore(this.paths.identity);
  readonly roster: Roster;
  port = 0;
  private readonly stack = new AsyncDisposableStack();

  constructor() {
    const row = { id: 1, name: "h1", address: LOOPBACK, port: 4660 };
    saveCa(this.paths.identity, ca);
    saveIdentity(this.paths.identity, first);
    saveGossipKey(this.paths.identity, makeGossipKey());
    writeMembership(this.paths, { ...row, cluster: "lab" }, [row]);
    this.roster = new Roster(this.paths, "lab", ca.cert, this.log);
    this.roster.say({ ...row, key: certificateKeyHash(first.cert) }, "member");
  }

  static async start(): Promise<Node> {
    const node = new Node();
    const { paths, roster, log } = node;
    const enrolment = new Enrolment({ paths, cluster: "lab", roster, log });
    const transport = new TlsTransport({
      credentials: first,
      version: "0.1.0",
      host: LOOPBACK,
      port: 0,
      handshakeMs: HANDSHAKE_MS,
      log,
      refuses: roster.record.refuses,
    });
    const listener = await transport.listen({
      [ALPN.CONTROL]: channels(() => undefined),
      [ALPN.BULK]: streams(() => undefined),
      [ALPN.JOIN]: joiners(
        () => node.tokens.any(),
        (s) => {
          // As the engine: whoever gets a byte has proven himself.
          const write = s.stream.write.bind(s.stream);
          s.stream.write = ((...args: Parameters<typeof write>) => {
            s.proven();
            return write(...args);
          }) as typeof s.stream.write;
          void enrolment.serve(s.stream, s);
        },
      ),
    });
    node.port = listener.port;
    node.stack.use(listener);
    node.stack.defer(() => rmSync(node.dir, { recursive: true }));
    return node;
  }

  /** A token that is open here, with what is said otherwise in it. */
  token(ttl = 60, of: { readonly node?: number } = {}): Token {
    const t = newToken(systemRandom, {
      cluster: "lab",
      fingerprint: caFingerprint(ca.cert),
      node: nodeId(1),
      address: LOOPBACK,
      port: this.port,
      expires: Math.floor(Date.now() / 1000) + ttl,
    });
    this.tokens.add({ id: t.id.toString("hex"), secret: t.secret, expires: t.expires, ...of });
    return t;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stack.disposeAsync();
  }
}

const isError = (code: string, pattern: RegExp) => (e: unknown) => {
  assert.ok(e instanceof TeselaError, String(e));
  assert.equal(e.code, code, e.message);
  assert.match(e.message, pattern);
  return true;
};

test("a machine joins: its key stays with it, everybody learns what it needs to", async () => {
  await using node = await Node.start();
  const joined = await enrolWith(node.token(), { ...WISH, name: "box" });
  const { welcome, key } = joined;
  assert.deepEqual(welcome.node, { id: 2, name: "box", address: LOOPBACK, port: 4661 });
  const dir = mkdtempSync(join(tmpdir(), "tesela-joined-"));
  try {
    const paths = nodePaths({ TESELA_RUN: join(dir, "run"), TESELA_STATE: join(dir, "state") });
    settle(paths, joined);
    const identity = loadIdentity(paths.identity, "box");
    assert.deepEqual([identity.node, identity.cluster, identity.key, identity.ca], [2, "lab", key, ca.cert]);
    assert.equal(statSync(join(paths.identity, "gossip.key")).mode & 0o777, 0o600);
    assert.equal(readFileSync(join(paths.identity, "gossip.key"), "utf8"), readFileSync(join(node.paths.identity, "gossip.key"), "utf8"));
    assert.deepEqual(readPeers(paths), readPeers(node.paths));
    assert.deepEqual(
      readPeers(paths).map((p) => p.id),
      [1, 2],
    );
    const theirs = new Roster(paths, "lab", ca.cert, node.log);
    assert.equal(theirs.record.digest, node.roster.record.digest);
    // And it is let in.
    const channel = await new TlsTransport({ credentials: identity, version: "0.1.0" }).connect(
      { node: nodeId(1), address: LOOPBACK, port: node.port },
      ALPN.CONTROL,
    );
    channel.close();
    assert.equal(await channel.closed, null);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("many that come at once get numbers of their own", async () => {
  await using node = await Node.start();
  const tokens = Array.from({ length: 6 }, () => node.token());
  const all = await Promise.all(tokens.map((t) => enrolWith(t, WISH)));
  assert.deepEqual(all.map((j) => j.welcome.node.id).sort(), [2, 3, 4, 5, 6, 7]);
  assert.equal(new Set(all.map((j) => j.welcome.node.name)).size, 6);
});

test("one token lets one machine in, however many come with it at once", async () => {
  await using node = await Node.start();
  const token = node.token();
  node.token();
  const all = await Promise.allSettled(Array.from({ length: 4 }, () => enrolWith(token, WISH)));
  assert.equal(all.filter((r) => r.status === "fulfilled").length, 1);
  await assert.rejects(enrolWith(token, WISH), isError("E_REFUSED", /did not accept the token: it was used already/));
  assert.match(node.log.lines.join("\n"), /was refused .*was used already/);
  assert.deepEqual(
    readPeers(node.paths).map((p) => p.id),
    [1, 2],
  );
});

test("what is wrong with a token is said on both sides, and tells a stranger nothing", async () => {
  await using node = await Node.start();
  const open = node.token();
  const wrongSecret = { ...open, secret: systemRandom.bytes(32) };
  await assert.rejects(enrolWith(wrongSecret, WISH), isError("E_REFUSED", /did not accept the token/));
  assert.match(node.log.lines.at(-1) ?? "", /refused.*without a proof of its secret/);
  const unknown = { ...open, id: systemRandom.bytes(8) };
  await assert.rejects(enrolWith(unknown, WISH), isError("E_REFUSED", /did not accept the token/));
  assert.match(node.log.lines.at(-1) ?? "", /refused.*is not one of this node's/);
  const expired = node.token(-5);
  await assert.rejects(enrolWith(expired, WISH), isError("E_REFUSED", /did not accept the token: it expired at/));
  assert.match(node.log.lines.at(-1) ?? "", /refused.*expired at/);
  const before = node.log.lines.length;
  await assert.rejects(enrolWith({ ...open, fingerprint: systemRandom.bytes(32) }, WISH), isError("E_IDENTITY", /fingerprint of its CA/));
  await assert.rejects(enrolWith({ ...open, node: nodeId(7) }, WISH), isError("E_IDENTITY", /node 1 answered where node 7/));
  await assert.rejects(enrolWith({ ...open, cluster: "other" }, WISH), isError("E_IDENTITY", /cluster 'lab', this is 'other'/));
  await assert.rejects(enrolWith({ ...open, port: 1 }, WISH), isError("E_NODE_DOWN", /does not answer/));
  // Those ended the connection after the handshake: the node says that it heard nothing.
  for (const start = performance.now(); node.log.lines.length < before + 3; await sleep(5)) {
    assert.ok(performance.now() - start < GUARD_MS, node.log.lines.slice(before).join("\n"));
  }
  await sleep(100);
  assert.equal(node.log.lines.length, before + 3);
  // The wrong ones have used nothing up.
  assert.equal((await enrolWith(open, WISH)).welcome.node.id, 2);
});

test("a wish that cannot be granted is explained, and leaves the token good", async () => {
  await using node = await Node.start();
  const token = node.token();
  await assert.rejects(enrolWith(token, { ...WISH, id: 1 }), isError("E_EXISTS", /node 1 \(h1\) is a member/));
  await assert.rejects(enrolWith(token, { ...WISH, name: "h1" }), isError("E_EXISTS", /another node is called h1/));
  rmSync(join(node.paths.identity, "ca.key"));
  await assert.rejects(enrolWith(token, WISH), isError("E_MISSING", /does not hold the cluster's CA key/));
  saveCa(node.paths.identity, ca);
  assert.equal((await enrolWith(token, { ...WISH, id: 40 })).welcome.node.id, 40);
});

/** All bytes that come until the end. */
async function fate(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => parts.push(chunk)).on("error", () => undefined);
  await new Promise((resolve) => socket.once("close", resolve));
  return Buffer.concat(parts);
}

test("without an open token a joining machine gets not one byte, not even of TLS", async () => {
  await using node = await Node.start();
  let got = 0;
  const relay = createServer((near) => {
    const far = connectTcp(node.port, LOOPBACK);
    near.pipe(far).pipe(near);
    far.on("data", (d) => {
      got += d.length;
    });
    for (const s of [near, far]) s.on("error", () => undefined).on("close", () => [near, far].map((x) => x.destroy()));
  });
  relay.listen(0, LOOPBACK);
  await once(relay, "listening");
  const { port } = relay.address() as { port: number };
  try {
    const token = node.token(-5);
    await assert.rejects(enrolWith({ ...token, port }, WISH), isError("E_REFUSED", /no token is open there/));
    assert.equal(got, 0);
    const open = node.token();
    await sleep(150);
    await enrolWith({ ...open, port }, WISH);
    assert.ok(got > 0, "through the relay it works when there is one");
  } finally {
    relay.close();
  }
});

test("with a token open, whatever a machine says that is no proof gets no answer", async () => {
  await using node = await Node.start();
  const open = node.token();
  const request = Buffer.from(JSON.stringify({ csr: "x" }));
  const said: Buffer[][] = [
    [],
    [Buffer.alloc(0)],
    [systemRandom.bytes(500)],
    codec.encode("hello", { protocol: 1, node: 2, name: "h2", version: "0" }, []) as Buffer[],
    codec.encode("ctlStatusAsk", { seq: 1 }, []) as Buffer[],
    codec.encode("join", { token: open.id, proof: systemRandom.bytes(32) }, [request]) as Buffer[],
    codec.encode("join", { token: open.id, proof: Buffer.alloc(0) }, [request]) as Buffer[],
    codec.encode("join", { token: Buffer.alloc(0), proof: Buffer.alloc(32) }, []) as Buffer[],
    codec.encode("join", { token: open.id, proof: Buffer.alloc(32) }, [Buffer.alloc(20_000)]) as Buffer[],
  ];
  for (const pieces of said) {
    const socket = connectTls({ host: LOOPBACK, port: node.port, ALPNProtocols: [ALPN.JOIN], rejectUnauthorized: false });
    const ends = fate(socket);
    await once(socket, "secureConnect");
    for (const piece of pieces) socket.write(piece);
    assert.equal((await ends).length, 0);
  }
  // The other protocols stay closed to them.
  for (const alpn of [ALPN.CONTROL, ALPN.BULK, "http/1.1"]) {
    const socket = connectTls({ host: LOOPBACK, port: node.port, ALPNProtocols: [alpn], rejectUnauthorized: false });
    assert.equal((await fate(socket)).length, 0, alpn);
  }
  const both = connectTls({ host: LOOPBACK, port: node.port, ALPNProtocols: [ALPN.JOIN, ALPN.CONTROL], rejectUnauthorized: false });
  assert.equal((await fate(both)).length, 0);
  assert.equal((await enrolWith(open, WISH)).welcome.node.id, 2);
});

test("somebody in between, with a certificate of his own, gets nothing that he can use", async () => {
  await using node = await Node.start();
  const open = node.token();
  const theirs: ClusterCa = await createCluster("lab");
  const fake = await issueNode(theirs, nodeId(1), "h1");
  let heard = 0;
  const between = new TlsTransport({ credentials: fake, version: "0", host: LOOPBACK, port: 0 });
  await using listener = await between.listen({
    [ALPN.JOIN]: joiners(
      () => true,
      (s) => s.stream.on("data", (d: Buffer) => (heard += d.length)),
    ),
  });
  await assert.rejects(enrolWith({ ...open, port: listener.port }, WISH), isError("E_IDENTITY", /fingerprint/));
  assert.equal(heard, 0);
  // Another node of the cluster in between has no luck either: the token names its maker, and a proof is good on its own connection only.
  const member = await issueNode(ca, nodeId(9), "h9");
  await using second = await new TlsTransport({ credentials: member, version: "0", host: LOOPBACK, port: 0 }).listen({
    [ALPN.JOIN]: joiners(
      () => true,
      (s) => {
        const socket = connectTls({ host: LOOPBACK, port: node.port, ALPNProtocols: [ALPN.JOIN], rejectUnauthorized: false });
        s.stream.pipe(socket).pipe(s.stream);
        for (const x of [socket, s.stream]) x.on("error", () => undefined).on("close", () => [socket, s.stream].map((y) => y.destroy()));
      },
    ),
  });
  await assert.rejects(enrolWith({ ...open, port: second.port }, WISH), isError("E_IDENTITY", /node 9 answered/));
  await assert.rejects(enrolWith({ ...open, port: second.port, node: nodeId(9) }, WISH), isError("E_REFUSED", /did not accept/));
  assert.match(node.log.lines.at(-1) ?? "", /without a proof of its secret/);
  assert.equal((await enrolWith(open, WISH)).welcome.node.id, 2);
});

test("whatever bytes a stranger sends, not one comes back, and nothing is used up", async () => {
  await using node = await Node.start();
  const open = node.token();
  const enrolment = new Enrolment({ paths: node.paths, cluster: "lab", roster: node.roster, log: node.log });
  const binding = systemRandom.bytes(32);
  const bytes = (n: number) => fc.uint8Array({ maxLength: n });
  const frames = fc
    .record({ token: fc.oneof(fc.constant(open.id), bytes(8)), proof: bytes(32), payload: bytes(300) })
    .map(({ token, proof, payload }) => Buffer.concat(codec.encode("join", { token, proof }, [payload])));
  // Right in all but one thing: for another connection, or another request.
  const request = Buffer.from(JSON.stringify({ csr: "x", host: "h", address: "10.0.0.9", port: 1 }));
  const stolen = fc.constantFrom(
    Buffer.concat(codec.encode("join", { token: open.id, proof: proofOf(open.secret, systemRandom.bytes(32), request) }, [request])),
    Buffer.concat(codec.encode("join", { token: open.id, proof: proofOf(open.secret, binding, Buffer.from("{}")) }, [request])),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        frames,
        stolen,
        bytes(400).map((b) => Buffer.from(b)),
      ),
      async (said) => {
        let written = 0;
        const stream = new Duplex({
          read() {},
          write(chunk: Buffer, _encoding, done) {
            written += chunk.length;
            done();
          },
        });
        stream.push(said);
        stream.push(null);
        await enrolment.serve(stream, { binding, from: "test" });
        assert.equal(written, 0);
        assert.ok(stream.destroyed);
      },
    ),
    { numRuns: 300 },
  );
  assert.equal((await enrolWith(open, WISH)).welcome.node.id, 2);
});
