/** Nodes that tell each other who belongs to the cluster, over real TLS. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Log, type NodeId, nodeId, nodePaths, type Paths, TeselaError } from "../base/mod.ts";
import {
  BACKDATE_MS,
  certificateKeyHash,
  createCluster,
  issueNode,
  loadIdentity,
  makeRequest,
  newKey,
  saveCa,
  saveIdentity,
  signEntry,
  type Validity,
  writeMembership,
  writeRecord,
} from "../cluster/mod.ts";
import { ALPN, channels, SeededRandom, TlsTransport } from "../io/mod.ts";
import { Belonging, timesOf } from "./belonging.ts";
import { readPeers } from "./config.ts";
import { ChannelPeer, serveControl } from "./control.ts";
import { Roster } from "./roster.ts";

const DAY_MS = 86_400_000;
const LOOPBACK = "127.0.0.1";
const log = new Log({ level: "error" });
const quiet = new Log({ fd: -1 });
const ca = await createCluster("lab");

/** A node as far as it matters here. */
class Node implements AsyncDisposable {
  readonly id: NodeId;
  readonly paths: Paths;
  readonly links = new Map<number, ChannelPeer>();
  roster!: Roster;
  belonging!: Belonging;
  transport!: TlsTransport;
  port = 0;
  cut = 0;
  renewals = 0;
  private readonly dir = mkdtempSync(join(tmpdir(), "tesela-belonging-"));
  private readonly stack = new AsyncDisposableStack();

  constructor(id: number) {
    this.id = nodeId(id);
    this.paths = nodePaths({ TESELA_RUN: join(this.dir, "run"), TESELA_STATE: join(this.dir, "state") });
  }

  async start(): Promise<void> {
    const credentials = loadIdentity(this.paths.identity);
    this.roster = new Roster(this.paths, "lab", ca.cert, quiet);
    this.transport = new TlsTransport({ credentials, version: "0", host: LOOPBACK, port: this.port, refuses: this.roster.record.refuses });
    this.belonging = new Belonging({
      paths: this.paths,
      self: this.id,
      roster: this.roster,
      random: new SeededRandom(this.id),
      others: () => [...this.links.values()],
      renewed: (fresh) => {
        this.renewals++;
        this.transport.use(fresh);
      },
      log: quiet,
    });
    const listener = await this.transport.listen({
      [ALPN.CONTROL]: channels((c) =>
        serveControl(c, {
          belonging: this.belonging,
          status: () => ({ cpus: 1, speed: 1, load: 0, memTotal: 1, memFree: 1, guests: 0, away: 0, flags: [] }),
          processes: () => Promise.resolve([]),
          migrate: () => Promise.reject(new TeselaError("E_INTERNAL", "not here")),
          ask: () => Promise.reject(new TeselaError("E_INTERNAL", "not here")),
        }),
      ),
    });
    this.port = listener.port;
    this.stack.use(listener);
  }

  async dial(to: Node): Promise<ChannelPeer> {
    const channel = await this.transport.connect({ node: to.id, address: LOOPBACK, port: to.port }, ALPN.CONTROL);
    const peer = new ChannelPeer(channel);
    this.links.set(to.id, peer);
    void channel.closed.then(() => {
      this.cut++;
      this.links.delete(to.id);
    });
    return peer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const link of this.links.values()) link.close();
    await this.stack.disposeAsync();
    rmSync(this.dir, { recursive: true });
  }
}

/** Nodes 1 to n; the first has the CA. Validity is that of the others' certificates. */
async function cluster(n: number, validity: Validity = {}): Promise<{ nodes: Node[] } & AsyncDisposable> {
  const stack = new AsyncDisposableStack();
  const nodes = Array.from({ length: n }, (_, i) => stack.use(new Node(i + 1)));
  const rows = nodes.map(({ id }) => ({ id, name: `h${id}`, address: LOOPBACK, port: 4660 + id }));
  const issued = await Promise.all(nodes.map(({ id }) => issueNode(ca, id, `h${id}`, id === 1 ? {} : validity)));
  const entries = rows.map((row, i) =>
    signEntry(ca, { ...row, epoch: 1, standing: "member", key: certificateKeyHash(issued[i]?.cert ?? "") }),
  );
  for (const [i, node] of nodes.entries()) {
    const [identity, row] = [issued[i], rows[i]];
    assert.ok(identity !== undefined && row !== undefined);
    saveIdentity(node.paths.identity, identity);
    writeRecord(node.paths, { cluster: "lab", all: () => entries });
    writeMembership(node.paths, { ...row, cluster: "lab" }, rows);
  }
  saveCa((nodes[0] as Node).paths.identity, ca);
  for (const node of nodes) await node.start();
  return { nodes, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

async function until(what: string, check: () => boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (!check()) {
    assert.ok(performance.now() < end, what);
    await sleep(5);
  }
}
const ids = (node: Node): number[] => readPeers(node.paths).map((p) => p.id);
const refused = (pattern: RegExp) => (e: unknown) => {
  assert.ok(e instanceof TeselaError && e.code === "E_IDENTITY", String(e));
  assert.match(e.message, pattern);
  return true;
};

test("news goes on by itself, and a node that missed it asks", async () => {
  await using c = await cluster(4);
  const [one, two, three, four] = c.nodes as [Node, Node, Node, Node];
  await one.dial(two);
  await two.dial(three);
  const fresh = { id: 9, name: "h9", address: "10.0.0.9", port: 4660, key: "A".repeat(43) };
  one.roster.say(fresh, "member");
  await until("two hops", () => three.roster.record.get(9) !== undefined);
  assert.deepEqual(ids(three), [1, 2, 3, 4, 9]);
  assert.equal(four.roster.record.get(9), undefined);
  await four.dial(three);
  four.belonging.tick();
  await until("asked", () => four.roster.record.digest === one.roster.record.digest);
  assert.deepEqual(JSON.parse(readFileSync(four.paths.membershipJson, "utf8")).entries.length, 5);
  // What nobody signed changes nothing, and the stream lives.
  const link = await four.dial(one);
  link.news([{ ...signEntry(ca, { ...fresh, epoch: 7, standing: "removed" }), name: "forged" }]);
  assert.deepEqual(await link.record(one.roster.record.digest, AbortSignal.timeout(5000)), []);
  assert.equal(one.roster.record.get(9)?.standing, "member");
});

test("a removed node is refused, its live connections end, and both last over a restart", async () => {
  await using c = await cluster(3);
  const [one, two, three] = c.nodes as [Node, Node, Node];
  await one.dial(two);
  await three.dial(two);
  const link = await two.dial(three);
  one.roster.say(one.roster.find("h3"), "removed");
  await until("told", () => two.roster.record.get(3)?.standing === "removed");
  assert.deepEqual(ids(two), [1, 2]);
  assert.deepEqual([...two.transport.cutRefused()], [3]);
  await until("cut, both ways", () => three.cut === 1 && two.cut === 1);
  await assert.rejects(
    link.status(AbortSignal.timeout(5000)),
    (e) => e instanceof TeselaError && e.code === "E_LINK" && /removed/.test(e.message),
  );
  await assert.rejects(three.dial(two), refused(/does not accept/));
  await assert.rejects(two.dial(three), refused(/removed from the cluster/));
  const again = new Roster(two.paths, "lab", ca.cert, log);
  assert.match(again.record.refuses(3, "x") ?? "", /removed/);
  // The number, taken up again: with the new key, and not with the old one.
  const anew = await issueNode(ca, three.id, "h3");
  one.roster.say({ id: 3, name: "h3", address: LOOPBACK, port: three.port, key: certificateKeyHash(anew.cert) }, "member");
  await until("told again", () => two.roster.record.get(3)?.standing === "member");
  await assert.rejects(three.dial(two), refused(/does not accept/));
  three.transport.use(anew);
  const back = await three.dial(two);
  assert.equal((await back.status(AbortSignal.timeout(5000))).cpus, 1);
});

test("a certificate is renewed by a node that has the CA's key, for the key that the cluster knows, when a third of its time is left", async () => {
  // A day of backdating belongs to no life: it ends in 20 s, and was made for 90.
  const now = Date.now();
  await using c = await cluster(3, { notBefore: now - 70_000 - BACKDATE_MS, notAfter: now + 20_000 });
  const [one, two, three] = c.nodes as [Node, Node, Node];
  const read = (): string => readFileSync(`${two.paths.identity}/node.pem`, "utf8");
  const before = read();
  assert.deepEqual(timesOf(before, now), { lifeMs: 90_000, leftMs: timesOf(before, now).leftMs });
  await two.dial(three);
  two.belonging.tick();
  await sleep(500);
  assert.equal(two.renewals, 0, "nobody there has the CA's key");
  const link = await two.dial(one);
  const stranger = await makeRequest(await newKey());
  await assert.rejects(link.renew(stranger, AbortSignal.timeout(5000)), /key is not the one/);
  await assert.rejects(link.renew(Buffer.from("junk"), AbortSignal.timeout(5000)), /cannot be read/);
  const tick = setInterval(() => two.belonging.tick(), 100);
  try {
    await until("renewed", () => two.renewals === 1);
  } finally {
    clearInterval(tick);
  }
  assert.equal(certificateKeyHash(read()), certificateKeyHash(before), "the key stays");
  assert.ok(timesOf(read()).leftMs > 300 * DAY_MS);
  // Connections that are open go on, new ones have the new certificate, and then all is quiet.
  assert.deepEqual(await link.record(one.roster.record.digest, AbortSignal.timeout(5000)), []);
  await two.dial(three);
  two.belonging.tick();
  await sleep(200);
  assert.equal(two.renewals, 1);
});

test("a node leaves by way of one that has the CA's key, and is refused then", async () => {
  await using c = await cluster(3);
  const [one, two, three] = c.nodes as [Node, Node, Node];
  await three.dial(two);
  await assert.rejects(three.belonging.depart(), (e) => e instanceof TeselaError && e.code === "E_NODE_DOWN");
  await three.dial(one);
  await one.dial(two);
  await three.belonging.depart();
  await until("told", () => two.roster.record.get(3)?.standing === "left");
  assert.deepEqual(
    [ids(one), ids(two)],
    [
      [1, 2],
      [1, 2],
    ],
  );
  await assert.rejects(two.dial(three), refused(/has left the cluster/));
  assert.ok(existsSync(three.paths.nodeJson), "its files are the command's business");
});
