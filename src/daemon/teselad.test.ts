import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Log, nodeId, nodePaths, type Paths, TeselaError } from "../base/mod.ts";
import { createCluster, issueNode, makeGossipKey, saveGossipKey, saveIdentity } from "../cluster/mod.ts";
import { ALPN, type Listener, type PeerStream, streams, TlsTransport } from "../io/mod.ts";
import { DaemonClient } from "./daemon-client.ts";
import { jsonServer } from "./http.ts";
import { listenUnix } from "./listen.ts";
import type { EngineRow, NodeRow } from "./shapes.ts";

const BIN = fileURLToPath(new URL("../../bin", import.meta.url));
const log = new Log({ level: "error" });

/** What stands for the engine: its HTTP socket, and the one TLS listener of the node that passes control streams on. */
class EngineDouble implements AsyncDisposable {
  readonly asked: unknown[] = [];
  rows: EngineRow[] = [];
  private readonly open = new AsyncDisposableStack();
  private readonly streams = new Set<PeerStream["stream"]>();

  async start(paths: Paths, id: number, transport: TlsTransport): Promise<Listener> {
    const server: Server = jsonServer(
      {
        "GET /status": () =>
          Promise.resolve({ node: id, pid: process.pid, version: "0", processes: 1, guests: 0, away: this.rows.length, rss: 1 }),
        "GET /processes": () => Promise.resolve(this.rows),
        "POST /accept": (body) => Promise.resolve(body),
        "POST /migrate": (body) => {
          this.asked.push(body);
          const { pid, why } = body as { pid: number; why: boolean };
          if (why) return Promise.resolve({ pid, reasons: ["sysv_shm"] });
          return Promise.resolve({ pid, from: id, to: 2, bytes: 4096, freezeMs: 1.5, totalMs: 2.5 });
        },
      },
      log,
    );
    this.open.use(await listenUnix(server, paths.engineSocket, 0o600));
    const listener = await transport.listen({ [ALPN.CONTROL]: streams((s) => this.pass(s, paths)) });
    this.open.defer(() => {
      for (const s of this.streams) s.destroy();
    });
    return this.open.use(listener);
  }
  private pass({ stream, peer }: PeerStream, paths: Paths): void {
    this.streams.add(stream);
    const inner = connect(paths.peerSocket);
    inner.write(`${JSON.stringify(peer)}\n`);
    stream.pipe(inner).pipe(stream);
    stream.on("error", () => inner.destroy()).on("close", () => inner.destroy());
    inner.on("error", () => stream.destroy()).on("close", () => stream.destroy());
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.open.disposeAsync();
  }
}

class Node implements AsyncDisposable {
  readonly paths: Paths;
  readonly env: NodeJS.ProcessEnv;
  readonly engine = new EngineDouble();
  readonly client: DaemonClient;
  readonly id: number;
  port = 0;
  private daemon: ChildProcess | null = null;

  constructor(dir: string, id: number) {
    const base = join(dir, `h${id}`);
    this.id = id;
    // What this machine does otherwise would be its owner's work on each of the nodes, from which guests would be sent home.
    const level = { TESELA_LEVEL: "off" };
    // Both are on one machine, whose other addresses are none of theirs.
    const alone = { ...level, TESELA_DISCOVER: "off", TESELA_SPEED: "10000" };
    this.env = { ...process.env, ...alone, TESELA_RUN: join(base, "run"), TESELA_STATE: join(base, "state"), TESELA_LOG: base };
    this.paths = nodePaths(this.env);
    this.client = new DaemonClient(this.paths);
  }
  async listen(ca: Awaited<ReturnType<typeof createCluster>>, gossipKey: string): Promise<void> {
    mkdirSync(this.paths.state, { recursive: true });
    const credentials = await issueNode(ca, nodeId(this.id), `h${this.id}`);
    saveIdentity(this.paths.identity, credentials);
    saveGossipKey(this.paths.identity, gossipKey);
    const transport = new TlsTransport({ credentials, version: "0", host: "127.0.0.1", port: 0, log });
    this.port = (await this.engine.start(this.paths, this.id, transport)).port;
  }
  join(nodes: readonly Node[]): void {
    const peers = nodes.map((n) => ({ id: n.id, name: `h${n.id}`, address: "127.0.0.1", port: n.port }));
    writeFileSync(this.paths.peersJson, JSON.stringify(peers));
    writeFileSync(this.paths.nodeJson, JSON.stringify({ ...peers.find((p) => p.id === this.id), cluster: "test" }));
  }
  async start(): Promise<void> {
    this.daemon = spawn(join(BIN, "teselad"), [], { env: this.env, stdio: "ignore" });
    await until("teselad answers", () =>
      this.client.status().then(
        () => true,
        () => false,
      ),
    );
  }
  async kill(signal: NodeJS.Signals): Promise<void> {
    const daemon = this.daemon;
    this.daemon = null;
    if (!daemon) return;
    daemon.kill(signal);
    if (daemon.exitCode === null && daemon.signalCode === null) await once(daemon, "exit");
  }
  state(of: number): Promise<NodeRow["state"] | undefined> {
    return this.client.nodes().then((rows) => rows.find((r) => r.id === of)?.state);
  }
  cli(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
    return new Promise((resolve) => {
      execFile(join(BIN, "tesela"), args, { env: this.env }, (e, stdout, stderr) =>
        resolve({ status: e ? Number(e.code) : 0, stdout, stderr }),
      );
    });
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill("SIGKILL");
    await this.engine[Symbol.asyncDispose]();
  }
}

const GUARD_MS = 60_000;
async function until(what: string, yes: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + GUARD_MS;
  while (!(await yes())) {
    if (Date.now() > end) assert.fail(`not within ${GUARD_MS} ms: ${what}`);
    await new Promise((r) => setTimeout(r, 50));
  }
}

const ordinary = process.getuid?.() === 0 ? false : "only root may move processes of another node";

test("two nodes know each other, list processes, relay moves; one may die and come back", { skip: ordinary }, async () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-"));
  await using open = new AsyncDisposableStack();
  open.defer(() => rmSync(dir, { recursive: true, force: true }));
  const [a, b] = [open.use(new Node(dir, 1)), open.use(new Node(dir, 2))];
  const ca = await createCluster("test");
  const gossipKey = makeGossipKey();
  for (const n of [a, b]) await n.listen(ca, gossipKey);
  for (const n of [a, b]) n.join([a, b]);
  await Promise.all([a.start(), b.start()]);
  await until("both up", async () => (await a.state(2)) === "up" && (await b.state(1)) === "up");

  let nodes: NodeRow[] = [];
  // A node is up as soon as it answers, and may still say that it has not heard of its engine.
  await until("both engines known", async () => {
    nodes = JSON.parse((await a.cli("nodes", "--json")).stdout) as NodeRow[];
    return nodes.every((n) => !n.flags.includes("noengine"));
  });
  assert.deepEqual(
    nodes.map((n) => [n.id, n.name, n.address, n.state, n.speed, n.flags]),
    [1, 2].map((id) => [id, `h${id}`, "127.0.0.1", "up", 10_000, []]),
  );
  assert.ok(nodes.every((n) => n.cpus > 0 && n.memTotal > n.memFree && n.memFree > 0));
  assert.match((await a.cli("nodes", "-v")).stdout, /^ID +NAME +STATE .*\n +1 +h1 +up .*\n +2 +h2 +up /);

  const child = open.adopt(spawn("sleep", ["1000"]), (c) => void c.kill("SIGKILL"));
  const pid = child.pid ?? 0;
  const row: EngineRow = {
    pid,
    cpid: `2:${pid}`,
    home: 2,
    node: 1,
    nmigs: 3,
    state: "S",
    cpu: 0,
    rss: 4096,
    user: "root",
    lock: false,
    cantmove: [],
    command: "sleep 1000",
    role: "home",
  };
  b.engine.rows = [row];
  a.engine.rows = [{ ...row, role: "guest", cpu: 0.5, rss: 8192, state: "R" }];
  const { role: _, ...shown } = { ...row, cpu: 0.5, rss: 8192 };
  assert.deepEqual(JSON.parse((await a.cli("ps", "--json")).stdout), [shown]);
  assert.match((await b.cli("ps")).stdout, new RegExp(`PID +USER .*\\n *${pid} +root +2 +1 +3 +S +50.0 +8.0 KiB +- +- +sleep 1000`));

  const moved = await a.cli("migrate", `2:${pid}`, "home", "--json");
  assert.deepEqual(JSON.parse(moved.stdout), { pid, from: 2, to: 2, bytes: 4096, freezeMs: 1.5, totalMs: 2.5 });
  assert.deepEqual(b.engine.asked, [{ pid, target: "home", uid: 0, why: false }]);
  assert.equal((await b.cli("migrate", String(pid), "home")).stdout, `${pid}: node 2 -> node 2, 4.0 KiB, stood still 1.5 ms\n`);
  const why = await a.cli("migrate", "--why", `2:${pid}`, "2");
  assert.deepEqual(
    [why.status, why.stderr],
    [1, `tesela: process 2:${pid} cannot move to 2: sysv_shm (it has System V shared memory that others could attach)\n`],
  );
  const there = await a.cli("migrate", `2:${pid}`, "1", "--json");
  assert.deepEqual([there.status, JSON.parse(there.stdout).error], [1, "E_THERE"]);
  for (const [args, text] of [
    [["migrate", "4194303", "2"], /no process 4194303/],
    [["migrate", `2:${pid}`, "9"], /no node '9'/],
    [["migrate", "7:1", "2"], /no node 7/],
  ] as const) {
    const refused = await a.cli(...args);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, text);
  }

  await b.kill("SIGKILL");
  await until("seen as down", async () => (await a.state(2)) === "down");
  assert.match((await a.cli("migrate", "1:1", "h2")).stderr, /^tesela: node 2 \(h2, 127.0.0.1\) is down\n$/);
  await b.start();
  await until("seen as up", async () => (await a.state(2)) === "up");
  await a.kill("SIGTERM");
  await assert.rejects(a.client.status(), (e) => e instanceof TeselaError && e.code === "E_NODAEMON");
});
