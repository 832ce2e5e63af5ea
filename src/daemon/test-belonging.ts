/** Nodes that tell each other who belongs to the cluster, over real TLS: for tests. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Log, type NodeId, nodeId, nodePaths, type Paths, TeselaError } from "../base/mod.ts";
import {
  certificateKeyHash,
  createCluster,
  issueNode,
  loadIdentity,
  makeGossipKey,
  saveCa,
  saveGossipKey,
  saveIdentity,
  signEntry,
  type Validity,
  writeMembership,
  writeRecord,
} from "../cluster/mod.ts";
import { ALPN, channels, SeededRandom, TlsTransport } from "../io/mod.ts";
import { Belonging } from "./belonging.ts";
import { readPeers } from "./config.ts";
import { ChannelPeer, serveControl } from "./control.ts";
import { LiveKeys } from "./live-keys.ts";
import { Roster } from "./roster.ts";

export const LOOPBACK = "127.0.0.1";
export const quiet = new Log({ fd: -1 });
export const ca = await createCluster("lab");
const FIRST_KEY = makeGossipKey();

/** A node as far as it matters here. */
export class Node implements AsyncDisposable {
  readonly id: NodeId;
  readonly paths: Paths;
  readonly links = new Map<number, ChannelPeer>();
  roster!: Roster;
  belonging!: Belonging;
  keys!: LiveKeys;
  transport!: TlsTransport;
  port = 0;
  cut = 0;
  renewals = 0;
  private readonly dir = mkdtempSync(join(tmpdir(), "tesela-belonging-"));
  private stack = new AsyncDisposableStack();

  constructor(id: number) {
    this.id = nodeId(id);
    this.paths = nodePaths({ TESELA_RUN: join(this.dir, "run"), TESELA_STATE: join(this.dir, "state") });
  }

  async start(): Promise<void> {
    const credentials = loadIdentity(this.paths.identity);
    this.roster = new Roster(this.paths, "lab", ca.cert, quiet);
    this.transport = new TlsTransport({ credentials, version: "0", host: LOOPBACK, port: this.port, refuses: this.roster.record.refuses });
    this.keys = this.stack.use(new LiveKeys({ paths: this.paths, cluster: "lab", ca: ca.cert, log: quiet }));
    this.belonging = new Belonging({
      paths: this.paths,
      keys: this.keys,
      self: this.id,
      roster: this.roster,
      random: new SeededRandom(this.id),
      others: () => [...this.links.values()],
      everybody: () => [...this.links.values()],
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

  /** As at the end of the daemon; it may start again. */
  async stop(): Promise<void> {
    for (const link of this.links.values()) link.close();
    await this.stack.disposeAsync();
    this.stack = new AsyncDisposableStack();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.dir, { recursive: true });
  }
}

/** Nodes 1 to n; the first has the CA. Validity is that of the others' certificates. */
export async function cluster(n: number, validity: Validity = {}): Promise<{ nodes: Node[] } & AsyncDisposable> {
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
    saveGossipKey(node.paths.identity, FIRST_KEY);
    writeRecord(node.paths, { cluster: "lab", all: () => entries });
    writeMembership(node.paths, { ...row, cluster: "lab" }, rows);
  }
  saveCa((nodes[0] as Node).paths.identity, ca);
  for (const node of nodes) await node.start();
  return { nodes, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** For hangs: on a busy machine a handshake alone may take seconds. */
const GUARD_MS = 60_000;
export async function until(what: string, check: () => boolean): Promise<void> {
  const end = performance.now() + GUARD_MS;
  while (!check()) {
    assert.ok(performance.now() < end, what);
    await sleep(5);
  }
}
export const ids = (node: Node): number[] => readPeers(node.paths).map((p) => p.id);
