import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { connect, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type Log, nodeId, type Paths, TeselaError, toTeselaError } from "../base/mod.ts";
import { loadIdentity, type NodeConfig, readNodeConfig, readPeers, TokenStore, Watched } from "../cluster/mod.ts";
import {
  ALPN,
  type Channel,
  channels,
  joiners,
  type PeerAddress,
  RESUME_LIMIT_MS,
  SessionTransport,
  SILENCE_MS,
  streams,
  TlsTransport,
  type Transport,
} from "../io/mod.ts";
import { readSettings } from "../config/mod.ts";
import { descriptors, Tracees } from "../sys/mod.ts";
import { controlServer, type Handler } from "./control.ts";
import { FAULT_POINTS, type FaultAction, type FaultPoint, Faults } from "./faults.ts";
import { FileCache } from "./file-cache.ts";
import { findPlaces, GuestGroup, type Place } from "./guest-group.ts";
import { readGuestLimits } from "./guest-limits.ts";
import { Home } from "./home.ts";
import { Hosting } from "./hosting.ts";
import { MembershipWatch } from "./membership-watch.ts";
import { type NodeFacts, readNodeFacts } from "./node-facts.ts";
import { endOrphans } from "./orphans.ts";
import { guestRow, homeRow, type Row, UserNames } from "./rows.ts";
import { giveBackSoon } from "./spare-memory.ts";
import { Zygote } from "./zygote.ts";

const USAGE_MS = 1000;
/** One step of a move may take this long before the process stays where it is; `TESELA_STEP_MS` overrides it. */
const STEP_MS = 5000;
/** A silent peer is given up after this long; `TESELA_DEAD_MS` overrides it. Links between engines are then cut, not ended. */
const DEAD_MS = 30_000;
/** A link that is cut is waited for so long, `TESELA_RESUME_MS` overrides it: then the processes that run behind it are lost. */
const RESUME_MS = RESUME_LIMIT_MS;
/** From the end of a cut to the answer of what was asked before it. */
const GRACE_MS = 10_000;
const ANEW_MS = 5_000;

/** The data plane of a node: everything that traces, carries and answers, in one process with one listener. */
export class Engine implements AsyncDisposable {
  private readonly paths: Paths;
  private readonly log: Log;
  private readonly version: string;
  private readonly config: NodeConfig;
  private readonly tracees = new Tracees();
  private readonly faults = new Faults();
  private readonly users = new UserNames();
  private readonly stack = new AsyncDisposableStack();
  private readonly peersFile: Watched;
  private readonly tokens: TokenStore;
  private peers: PeerAddress[] = [];
  private home: Home;
  private hosting: Hosting;
  private readonly transport: Transport;
  private readonly facts: NodeFacts;
  private readonly tls: TlsTransport;
  private readonly membership: MembershipWatch;
  /** Links that homes have opened. */
  private readonly homes = new Set<Channel>();

  constructor(paths: Paths, version: string, log: Log) {
    this.paths = paths;
    this.log = log;
    this.version = version;
    // First of all: what is configured wrongly does nothing.
    const limits = readGuestLimits(process.env, readSettings().guests);
    this.config = readNodeConfig(paths);
    this.peersFile = new Watched(paths.peersJson);
    this.tokens = new TokenStore(paths.identity);
    const credentials = loadIdentity(paths.identity, this.config.name);
    if (credentials.node !== this.config.id) {
      throw new TeselaError("E_CONFIG", `${paths.nodeJson} says node ${this.config.id}, the certificate node ${credentials.node}`);
    }
    this.stack.use(this.tracees);
    mkdirSync(paths.run, { recursive: true, mode: 0o755 });
    endOrphans(log);
    this.facts = readNodeFacts(this.config.id);
    const group = limits.group ? this.stack.use(GuestGroup.make(groupName(paths.run), limits, ownPlaces(), log)) : undefined;
    const zygote = this.stack.use(Zygote.start(this.tracees, `${paths.run}/empty`, log, limits, group));
    const cache = this.stack.use(new FileCache());
    const [deadMs, limitMs] = [number("TESELA_DEAD_MS", DEAD_MS), number("TESELA_RESUME_MS", RESUME_MS)];
    this.membership = new MembershipWatch(paths, credentials, log);
    const { refuses } = this.membership;
    this.tls = new TlsTransport({ credentials, version, port: this.config.port, log, deadMs, descriptors, refuses });
    this.transport = new SessionTransport(this.tls, {
      alpn: [ALPN.ENGINE],
      silenceMs: Math.min(deadMs, SILENCE_MS),
      limitMs,
      log,
    });
    const { facts } = this;
    const answerMs = limitMs + Math.min(deadMs, SILENCE_MS) + GRACE_MS;
    const carry = { stepMs: number("TESELA_STEP_MS", STEP_MS), answerMs, faults: this.faults, log };
    const shared = { tracees: this.tracees, transport: this.transport, facts, carry, log };
    const peers = (): readonly PeerAddress[] => this.readPeers();
    this.home = new Home({ ...shared, node: nodeId(this.config.id), peers });
    this.hosting = new Hosting({
      ...shared,
      peers,
      zygote,
      cache,
      processes: limits.processes,
      memory: () => group?.room ?? Number.POSITIVE_INFINITY,
    });
  }

  async start(): Promise<void> {
    this.stack.use(
      await this.transport.listen({
        [ALPN.ENGINE]: channels((c) => {
          this.homes.add(c);
          void c.closed.then(() => this.homes.delete(c));
          this.hosting.link(c);
        }),
        [ALPN.BULK]: channels((c) => void this.hosting.bulk(c)),
        [ALPN.CONTROL]: streams(({ stream, peer }) => {
          const from = stream instanceof Socket ? stream.remoteAddress : undefined;
          this.handToDaemon(stream, { node: peer.node, name: peer.name, version: peer.version, from });
        }),
        [ALPN.JOIN]: joiners(
          () => this.tokens.any(),
          ({ stream, binding, from, proven }) => {
            // It says its first word to who has proven to hold a token.
            this.handToDaemon(stream, { join: { binding: binding.toString("hex"), from } }).once("data", proven);
          },
        ),
      }),
    );
    if (existsSync(this.paths.enginePid)) void this.beginAnew();
    await this.serve();
    const tick = setInterval(() => {
      this.hosting.usage();
      this.followMembership();
    }, USAGE_MS);
    this.stack.defer(() => clearInterval(tick));
    giveBackSoon();
    this.log.info("tesela-engine runs", { node: this.config.id, port: this.config.port, pid: process.pid });
  }

  /** Who was removed is cut off, sessions too: they would wait for it to come back. */
  private followMembership(): void {
    const renewed = this.membership.renewed();
    if (renewed !== null) this.tls.use(renewed);
    if (!this.membership.look()) return;
    const cut = this.tls.cutRefused();
    for (const channel of [...this.homes, ...this.home.links.all().map((l) => l.channel)]) {
      const { node } = channel.peer;
      if (cut.has(node) || this.membership.isGone(node))
        channel.close(new TeselaError("E_IDENTITY", `node ${node} is no member any more`, { node }));
    }
  }

  /** An engine before this one has died: whoever keeps guests for it learns that it need not wait. */
  private async beginAnew(): Promise<void> {
    try {
      const others = this.readPeers().filter((p) => p.node !== this.config.id);
      await Promise.all(others.map((p) => this.home.links.get(p, ANEW_MS)));
    } catch (e) {
      this.log.info("not all nodes were told of a new engine", { error: toTeselaError(e).message });
    }
  }

  private async serve(): Promise<void> {
    const { engineSocket } = this.paths;
    rmSync(engineSocket, { force: true });
    const server = controlServer(this.routes());
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(engineSocket, resolve);
    });
    chmodSync(engineSocket, 0o600);
    this.stack.defer(() => {
      server.close();
    });
  }

  private routes(): Record<string, Handler> {
    const routes: Record<string, Handler> = {
      "GET /status": () => ({
        node: this.config.id,
        pid: process.pid,
        version: this.version,
        processes: this.home.tracks.all().length,
        guests: this.hosting.count,
        away: this.home.awayCount,
        rss: process.memoryUsage.rss(),
      }),
      "GET /processes": () => this.rows(),
      "GET /links": () =>
        this.home.links.all().map((l) => ({
          node: l.node,
          state: l.cutMs === null ? "up" : "cut",
          ...(l.cutMs !== null && { cutMs: Math.round(l.cutMs) }),
          sinceMs: Date.now() - l.since,
          ...(l.channel.rtt !== undefined && { rttMs: Math.round(l.channel.rtt * 1000) / 1000 }),
        })),
      "POST /migrate": (b) => this.migrate(b),
      "POST /accept": (b) => {
        if (typeof b.guests !== "boolean")
          throw new TeselaError("E_USAGE", "'guests' says whether this node takes any: want true or false");
        this.facts.blocked = !b.guests;
        return { guests: b.guests };
      },
      "POST /trace": (b) => {
        if (b.session !== null && typeof b.session !== "string") throw new TeselaError("E_USAGE", "'session' is no text");
        return this.home.traces.poll(integer(b, "pid"), b.session, b.close === true);
      },
      "POST /run": async (b) => {
        const pid = integer(b, "pid");
        const target = b.target === null ? null : integer(b, "target");
        await this.home.placeAtExec(pid, target, b.execs === undefined ? 1 : integer(b, "execs"));
        return { pid, target };
      },
    };
    // Only tests start an engine that can be told to fail.
    if (process.env.TESELA_FAULTS === "1") {
      routes["POST /fault"] = (b) => {
        if (b.action === "release") {
          this.faults.release();
          return { released: true };
        }
        const at = String(b.at) as FaultPoint;
        if (!FAULT_POINTS.includes(at)) throw new TeselaError("E_USAGE", `no fault point '${at}'`);
        this.faults.arm(at, String(b.action) as FaultAction, Number(b.ms ?? 0));
        return { armed: at };
      };
      routes["GET /fault"] = () => ({ reached: this.faults.reached });
    }
    return routes;
  }

  private async migrate(b: Readonly<Record<string, unknown>>): Promise<unknown> {
    const pid = integer(b, "pid");
    if (b.why === true) return { pid, reasons: await this.home.why(pid) };
    const uid = b.uid === undefined ? null : integer(b, "uid");
    return this.home.migrate(pid, b.target === "home" ? "home" : integer(b, "target"), uid);
  }

  private rows(): Row[] {
    const { id } = this.config;
    return [
      ...this.home.tracks.all().map((t) => homeRow(t, id, this.users)),
      ...[...this.hosting.all()].map((g) => guestRow(g, id)),
    ].filter((r): r is Row => r !== null);
  }

  private readPeers(): readonly PeerAddress[] {
    if (this.peersFile.changed()) {
      try {
        this.peers = readPeers(this.paths).map((p) => ({ node: nodeId(p.id), address: p.address, port: p.port }));
      } catch (e) {
        // Half written, or taken away for a moment: what was known holds.
        if (this.peers.length === 0) throw e;
        this.log.warn("the list of nodes cannot be read, the old one holds", { error: toTeselaError(e).message });
      }
    }
    return this.peers;
  }

  /** The stream goes on to teselad, which learns from the first line whose it is. */
  private handToDaemon(stream: Duplex, about: unknown): Socket {
    const daemon = connect(this.paths.peerSocket);
    daemon.write(`${JSON.stringify(about)}\n`);
    stream.pipe(daemon);
    daemon.pipe(stream);
    const end = (): void => {
      stream.destroy();
      daemon.destroy();
    };
    for (const s of [stream, daemon]) s.on("error", end).on("close", end);
    return daemon;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nobody shall wait for a link that will not come back.
    for (const channel of [...this.homes, ...this.home.links.all().map((l) => l.channel)]) channel.close();
    await new Promise(setImmediate);
    await this.stack.disposeAsync();
  }
}

/** One for each node that runs on this machine. */
function groupName(run: string): string {
  const { dev, ino } = statSync(run);
  return `tesela-guests-${dev.toString(16)}-${ino.toString(16)}`;
}
const ownPlaces = (): Place[] => findPlaces(readFileSync("/proc/self/mountinfo", "utf8"), readFileSync("/proc/self/cgroup", "utf8"));

function integer(b: Readonly<Record<string, unknown>>, name: string): number {
  const v = b[name];
  if (!Number.isInteger(v)) throw new TeselaError("E_USAGE", `'${name}' is ${JSON.stringify(v)}: want a whole number`);
  return v as number;
}

function number(name: string, fallback: number): number {
  const text = process.env[name];
  if (text === undefined || text === "") return fallback;
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) throw new TeselaError("E_CONFIG", `${name} is '${text}': want milliseconds`);
  return n;
}
