import { type Log, type NodeId, nodeId, type Paths, TeselaError } from "../base/mod.ts";
import type { FormerStanding, Keyring } from "../cluster/mod.ts";
import { type Channel, type Credentials, type Datagrams, shuffle, systemRandom } from "../io/mod.ts";
import { LoadSampler, type NodeSample, STANDARD_SPEED } from "../load/mod.ts";
import { controlAsk, maskAsk, migrateAsk, needsAsk, offerAsk, roomAsk, runAsk, traceAsk, whyAsk } from "./asks.ts";
import type { Caller } from "./authorize.ts";
import { Belonging } from "./belonging.ts";
import { type NodeConfig, type Peer, readPeers, Watched } from "./config.ts";
import { type ControlService, serveControl } from "./control.ts";
import { CLOCK, clocksOf } from "./clocks.ts";
import { Controls } from "./controls.ts";
import { type Discovery, openDiscovery } from "./discovery.ts";
import { departures } from "./departures.ts";
import { peerDoor } from "./door.ts";
import { Emptying } from "./emptying.ts";
import { Enrolment } from "./enrol.ts";
import type { EngineClient } from "./engine-client.ts";
import { Gossip } from "./gossip.ts";
import { readHints, withHints } from "./hints.ts";
import { jsonServer, type Routes } from "./http.ts";
import type { LiveSettings } from "./live-settings.ts";
import { Levelled } from "./levelled.ts";
import { Levelling, MOVE_COSTS, type OwnFigures } from "./levelling.ts";
import { listenUnix } from "./listen.ts";
import { type MaskParts, setMask } from "./masks.ts";
import { freshKeys } from "./key-exchange.ts";
import type { LiveKeys } from "./live-keys.ts";
import { type Member, Members } from "./members.ts";
import { mergeRows } from "./merge.ts";
import { Moves } from "./moves.ts";
import { inYards, nodeRow } from "./node-rows.ts";
import { Policies } from "./policies.ts";
import type { DialPeer, NodeStatus } from "./peer.ts";
import type { Roster } from "./roster.ts";
import { Rooms } from "./rooms.ts";
import { scopeOf } from "./scope.ts";
import { ownTerms, type TermsOf, termsAsk } from "./terms.ts";
import { Whys } from "./whys.ts";
import type { DaemonStatus, EngineRow, EngineStatus, Hints, NodeRow, ProcessRow, RunAnswer, RunAsk } from "./shapes.ts";

const SAMPLE_MS = 1000;
/** At 500 MB/s a node of 1 GiB is full in two seconds. A look at memory alone takes half a millisecond. */
const MEMORY_MS = 200;
/** The others hear at once when so much of the memory has become free, or is no more. */
const TELLING = 1 / 16;
/** `ps` does not wait longer for a node that is about to be found dead. */
const ROWS_MS = 2000;
/** A node that was found is asked for its certificate. */
const PROVE_MS = 3000;
const SOCKET_MODE_ALL = 0o666;
const SOCKET_MODE_OWNER = 0o600;

export interface DaemonOptions {
  readonly paths: Paths;
  readonly config: NodeConfig;
  readonly roster: Roster;
  /** Calls out for others; tests of one node on a machine do not. */
  readonly discover?: boolean;
  /** There is a new certificate for this node. */
  readonly renewed: (credentials: Credentials) => void;
  readonly version: string;
  readonly engine: EngineClient;
  readonly dial: DialPeer;
  /** End with the daemon. */
  readonly keys: LiveKeys;
  /** Bound to the gossip port; ends with the daemon. */
  readonly datagrams: Datagrams;
  readonly log: Log;
  readonly settings: LiveSettings;
  /** Whether processes move by themselves as long as nobody has said: as the settings say unless given. */
  readonly level?: boolean;
  /** Whether tasks count that this node does not see, on its CPUs: as the settings say unless given. */
  readonly rivals?: boolean;
  /** Of its processor; the reference one's unless given. */
  readonly speed?: number;
}

/** The control plane of one node. It holds nothing that a process depends on, and may be restarted at any time. */
export class Daemon implements AsyncDisposable {
  private readonly o: DaemonOptions;
  private readonly started = performance.now();
  /** Who is there and how busy, for whoever decides. */
  readonly gossip: Gossip;
  private readonly members: Members;
  private readonly moves: Moves;
  private readonly levelled: Levelled;
  private readonly enrolment: Enrolment;
  private readonly belonging: Belonging;
  private discovery: Discovery | null = null;
  private readonly policies: Policies;
  private readonly levelling: Levelling;
  private readonly controls: Controls;
  private readonly rooms: Rooms;
  private readonly whys: Whys;
  private readonly sampler = new LoadSampler();
  private readonly peersFile: Watched;
  private readonly channels = new Set<Channel>();
  private readonly open = new AsyncDisposableStack();
  private sampled: NodeSample;
  /** Bytes of free memory that the others have been told of. */
  private toldFree = 0;
  /** A round is under way. */
  private inRound = false;
  private engineStatus: EngineStatus | null = null;
  private soon: NodeJS.Timeout | undefined = undefined;

  private constructor(o: DaemonOptions) {
    this.o = o;
    this.policies = new Policies(`${o.paths.state}/policies.json`, () => o.level ?? o.settings.now.policy.level);
    this.levelled = new Levelled(
      `${o.paths.run}/levelled.json`,
      o.config.id,
      scopeOf(o.settings, () => this.engineStatus?.pid ?? null),
    );
    this.sampled = this.sample();
    this.open.use(o.keys);
    this.gossip = this.open.use(this.begunGossip());
    o.keys.onChange = (ring) => this.gossip.setKeys(ring);
    this.members = this.open.use(new Members(o.config.id, o.dial, this.gossip));
    this.moves = new Moves(o.config, this.members, o.engine, this.levelled, (...move) => this.whys.note(...move));
    const { paths, roster, log } = o;
    this.enrolment = new Enrolment({ paths, cluster: o.config.cluster, roster, log });
    this.belonging = new Belonging({
      paths,
      self: nodeId(o.config.id),
      roster,
      random: systemRandom,
      keys: o.keys,
      others: () => this.members.controls(),
      everybody: () => this.members.everybody(),
      renewed: o.renewed,
      log,
    });
    this.belonging.onOut = (standing) => {
      this.goOut(standing).catch((e: unknown) => log.error("this node, which is out, did not end its part in the cluster", { error: e }));
    };
    const shared = { engine: o.engine, members: this.members, policies: this.policies, settings: o.settings, log: o.log };
    this.levelling = this.open.use(
      new Levelling({
        ...{ ...shared, self: o.config, levelled: this.levelled, habitsFile: `${o.paths.state}/habits.json` },
        onNews: () => void this.level(),
      }),
    );
    this.controls = new Controls({
      ...shared,
      self: o.config.id,
      leaving: () => this.levelling.balancer.isMoving,
      speed: () => this.speed,
    });
    this.whys = new Whys({
      ...{ self: o.config.id, levelled: this.levelled, members: this.members },
      decisions: this.levelling.balancer.decisions,
      level: () => this.policies.level,
      ps: () => this.ps(),
    });
    this.rooms = new Rooms({
      self: o.config,
      members: this.members,
      places: () => this.levelling.places({ ...this.ownFigures(), util: this.sampled.util }),
      rss: (pid) => this.levelling.rssOf(pid),
      knobs: () => o.settings.now.balance,
    });
    this.peersFile = new Watched(o.paths.peersJson);
  }

  /** Resolves when both sockets answer. */
  static async start(o: DaemonOptions): Promise<Daemon> {
    const self = nodeId(o.config.id);
    if (o.roster.mayBe(self)) await freshKeys({ ...o, self, random: systemRandom });
    const daemon = new Daemon(o);
    try {
      await daemon.begin();
    } catch (e) {
      await daemon[Symbol.asyncDispose]();
      throw e;
    }
    return daemon;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const channel of this.channels) channel.close();
    await this.open.disposeAsync();
  }

  private async begin(): Promise<void> {
    const { paths, log } = this.o;
    const door = peerDoor(
      (channel, from) => {
        if (from !== null) this.discovery?.met(channel.peer, from);
        this.serve(channel);
      },
      (stream, about) => void this.enrolment.serve(stream, about),
      log,
    );
    this.open.use(await listenUnix(door, paths.peerSocket, SOCKET_MODE_OWNER));
    if (this.o.discover && this.belonging.standing === null) await this.beginDiscovery();
    const { standing } = this.belonging;
    if (standing !== null) await this.goOut(standing);
    // The first that the others hear of this node is to be of the engine too.
    await this.askEngine();
    await this.tick();
    const timer = setInterval(() => void this.tick(), SAMPLE_MS);
    const watch = setInterval(() => void this.watchMemory(), MEMORY_MS);
    this.open.defer(() => clearInterval(watch));
    this.open.defer(() => clearTimeout(this.soon));
    this.open.defer(() => clearInterval(timer));
    this.open.use(await listenUnix(jsonServer(this.routes(), log), paths.teseladSocket, SOCKET_MODE_ALL));
  }

  private routes(): Routes {
    return {
      "GET /status": () => Promise.resolve(this.status()),
      "GET /nodes": () => this.nodes(),
      "GET /ps": () => this.ps(),
      "POST /run": (body, caller) => this.run(runAsk(body), caller),
      "POST /room": (body, caller) => this.rooms.answer(roomAsk(body), caller),
      "POST /trace": (body, caller) => this.moves.trace(traceAsk(body), caller),
      "POST /best": (body) => this.best(body),
      ...this.everywhere(),
      "GET /clocks": () => clocksOf(shuffle(systemRandom, this.members.controls())),
      "GET /discovery": () => Promise.resolve(this.discovery?.heard() ?? []),
      ...departures({ ...this.o, belonging: this.belonging, emptying: this.emptying(), ps: () => this.ps() }),
    };
  }

  private emptying(): Emptying {
    const { controls, members, policies } = this;
    return new Emptying({ self: this.o.config.id, controls, members, flags: () => policies.list(), log: this.o.log });
  }

  /** What another node's teselad may ask for its callers as well as a command of this node. */
  private everywhere(): Routes {
    return {
      "POST /ctl": (body, caller) => this.controls.tell(controlAsk(body), caller),
      "POST /why": (body, caller) => this.whys.of(whyAsk(body), caller),
      "POST /terms": (body) => Promise.resolve(this.terms(body)),
      "POST /carry": (body, caller) => this.moves.carry(migrateAsk(body), caller),
      // Of another node: with force only, for which its own message has no word.
      "POST /migrate": (body, caller) => this.moves.migrate(migrateAsk(body), caller),
      "POST /mask": (body, caller) => setMask(this.maskParts(), maskAsk(body), caller),
      [CLOCK]: () => Promise.resolve({ now: Date.now() }),
      "POST /room/here": (body) => Promise.resolve(this.levelling.room(needsAsk(body), performance.now())),
      "POST /offer": (body) => Promise.resolve({ refusal: this.levelling.refusal(offerAsk(body), performance.now()) }),
    };
  }

  private ask(what: string, body: unknown, caller: Caller): Promise<unknown> {
    const handler = Object.hasOwn(this.everywhere(), what) ? this.everywhere()[what] : undefined;
    if (!handler) throw new TeselaError("E_USAGE", `node ${this.o.config.id} does not know '${what}'`);
    return handler(body, caller);
  }

  private async beginDiscovery(): Promise<void> {
    const { paths, config, roster, log } = this.o;
    const isUp = (id: number): boolean => this.members.list().some((m) => m.peer.id === id && m.state === "up");
    const prove = async (at: Peer): Promise<void> => (await this.o.dial(at, AbortSignal.timeout(PROVE_MS))).close();
    const keys = (): Keyring => this.o.keys.ring;
    this.discovery = await openDiscovery({ paths, config, roster, keys, random: systemRandom, isUp, prove, log }, this.open);
  }

  private serve(channel: Channel): void {
    this.channels.add(channel);
    void channel.closed.then(() => this.channels.delete(channel));
    const service: ControlService = {
      status: () => this.nodeStatus(),
      processes: () => this.ownRows(),
      migrate: (ask, caller) => this.moves.migrate(ask, caller),
      ask: async (what, body, caller) => await this.ask(what, body, caller),
      belonging: this.belonging,
    };
    serveControl(channel, service);
  }

  private begunGossip(): Gossip {
    const { config: self, datagrams, roster, log } = this.o;
    const keys = this.o.keys.ring;
    const unknownKey = (id: NodeId): void => this.belonging.unknownKey(id);
    const admits = (id: number): boolean => (roster.record.get(id)?.standing ?? "member") === "member";
    const knobs = this.o.settings.now.gossip;
    const lost = (id: number): void => this.members.lost(id);
    return new Gossip({ self, keys, unknownKey, datagrams, status: () => this.gossiped(), admits, lost, log, knobs });
  }

  /**
   * This node is none of the cluster's any more: nobody listens to it, and it says nothing. What runs here runs on; commands are told.
   * What stood in the way of its going is taken away, for the day that it joins again.
   */
  private async goOut(standing: FormerStanding): Promise<void> {
    const { id: node, cluster } = this.o.config;
    const how = standing === "left" ? "has left" : "was removed from";
    this.o.log.error(`this node ${how} cluster '${cluster}': it is alone now`, { node });
    for (const flag of ["block", "lstay"] as const) if (this.policies.has(flag)) this.policies.set(flag, false);
    this.discovery?.rest();
    this.discovery = null;
    this.members.set([]);
    await this.gossip[Symbol.asyncDispose]();
  }

  private async tick(): Promise<void> {
    this.sampled = this.sample();
    this.levelled.sample(this.sampler.everybody);
    if (this.belonging.standing === null) this.readMembership();
    this.belonging.tick();
    this.discovery?.tick();
    await this.askEngine();
    await this.level();
  }

  /** A round of the balancer. Without an engine nothing can move. */
  private async level(): Promise<void> {
    const { engineStatus } = this;
    if (!engineStatus || this.inRound) return;
    this.inRound = true;
    try {
      const next = this.levelling.round(await this.ownRows(), this.ownFigures(), engineStatus.pid, performance.now());
      if (next !== null && next < SAMPLE_MS) this.levelSoon(next);
    } catch (e) {
      this.o.log.error("a round of load levelling failed", { error: e });
    } finally {
      this.inRound = false;
    }
  }

  private ownFigures(): OwnFigures {
    const { local, present } = this.sampled;
    return { ...this.nodeStatus(), local, present };
  }

  /** A crowded node need not wait for its next sample. */
  private levelSoon(ms: number): void {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => void this.level(), ms);
  }

  /** As the owner has said, from that moment on. */
  private get speed(): number {
    return this.policies.speed ?? this.o.speed ?? STANDARD_SPEED;
  }

  private sample(): NodeSample {
    const engine = this.engineStatus?.pid;
    this.sampler.setSpeed(this.speed);
    const { rivals = this.o.settings.now.policy.rivals } = this.o;
    return this.sampler.sample({ ours: new Set(engine === undefined ? [] : [engine]), movable: (pid) => this.levelled.has(pid), rivals });
  }

  /** Between the rounds: memory can run out in less than a second. */
  private async watchMemory(): Promise<void> {
    this.sampled = { ...this.sampled, ...this.sampler.sampleMemory() };
    const { memFree, memTotal } = this.sampled;
    if (Math.abs(memFree - this.toldFree) > memTotal * TELLING) this.gossip.tell();
    if (this.levelling.presses(this.sampled)) await this.level();
  }

  private async askEngine(): Promise<void> {
    const before = this.engineStatus;
    try {
      this.engineStatus = await this.o.engine.status();
      if (before === null) this.gossip.tell();
      if (this.engineStatus.pid !== before?.pid) await this.controls.tellEngine();
    } catch (e) {
      if (this.engineStatus !== null) this.o.log.warn("the engine does not answer", { error: (e as Error).message });
      this.engineStatus = null;
      if (before !== null) this.gossip.tell();
    }
  }

  private readMembership(): void {
    if (!this.peersFile.changed()) return;
    try {
      this.members.set(readPeers(this.o.paths));
    } catch (e) {
      if (!(e instanceof TeselaError)) throw e;
      this.o.log.error("the membership stays as it was", { error: e.message });
    }
  }

  private status(): DaemonStatus {
    const { config, version } = this.o;
    const uptimeMs = Math.round(performance.now() - this.started);
    const { level, yard, decay } = this.policies;
    const { standing, refusal } = this.belonging;
    return {
      node: config.id,
      name: config.name,
      cluster: config.cluster,
      pid: process.pid,
      version,
      uptimeMs,
      level,
      yard,
      decay,
      tune: { ...MOVE_COSTS, freezeMs: this.o.settings.now.balance.freezeMs },
      engine: this.engineStatus,
      ...(standing !== null && { standing }),
      ...(refusal !== null && { refusal }),
    };
  }

  private nodeStatus(): NodeStatus {
    const { guests = 0, away = 0 } = this.engineStatus ?? {};
    const { cpus, got, speed, cpu, load, memTotal, memFree, own } = this.sampled;
    return {
      cpus,
      got,
      speed,
      cpu,
      load,
      memTotal,
      memFree,
      own,
      guests,
      away,
      flags: [...this.policies.list(), ...(this.engineStatus ? [] : ["noengine"])],
    };
  }

  private gossiped(): NodeStatus {
    this.toldFree = this.sampled.memFree;
    return { ...this.nodeStatus(), util: this.sampled.util };
  }

  private async nodes(): Promise<NodeRow[]> {
    // It may have come up since the last look, and whoever asks wants to know of now.
    if (this.engineStatus === null) await this.askEngine();
    const own = nodeRow(this.o.roster.peers().find((p) => p.id === this.o.config.id) ?? this.o.config, "up", this.gossiped());
    const { standing } = this.belonging;
    if (standing !== null) return [{ ...own, state: standing }];
    const rows = [own, ...this.members.list().map((m: Member) => nodeRow(m.peer, m.state, m.status))];
    return rows.map((r) => inYards(r, this.policies.yard)).sort((a, b) => a.id - b.id);
  }

  /** What the engine says counts before what /proc does. Without an engine there is still /proc. */
  private async ownRows(): Promise<EngineRow[]> {
    let rows: EngineRow[] = [];
    try {
      rows = await this.o.engine.processes();
    } catch (e) {
      if (!(e instanceof TeselaError)) throw e;
    }
    const known = new Set(rows.map((r) => r.cpid));
    const said = (pid: number): [boolean, Hints] => [this.levelled.isLocked(pid), this.levelled.hints(pid)];
    const own = rows.map((r) => (r.role === "home" ? withHints(r, ...said(r.pid)) : r));
    return [...own, ...this.levelled.rows().filter((r) => !known.has(r.cpid))];
  }

  private async ps(): Promise<ProcessRow[]> {
    const signal = AbortSignal.timeout(ROWS_MS);
    const others = this.members.controls().map((c) => c.processes(signal));
    const all = await Promise.allSettled([this.ownRows(), ...others]);
    return mergeRows(all.flatMap((r) => (r.status === "fulfilled" ? r.value : [])));
  }

  private async run(ask: RunAsk, caller: Caller): Promise<RunAnswer> {
    const answer = await this.moves.run(ask, caller);
    const inherited = this.levelled.discover(answer.pid) ? this.levelled.hints(answer.pid) : {};
    this.levelled.add(answer.pid, ask.lock ?? false, { ...inherited, ...ask.hints });
    return answer;
  }

  private terms(body: unknown): TermsOf {
    const pids = termsAsk(body);
    if (pids === null) throw new TeselaError("E_USAGE", 'POST /terms: want {"pids":[4711]}');
    return Object.fromEntries(pids.map((pid) => [pid, ownTerms(this.levelled, pid, this.policies.decay)]));
  }

  private maskParts(): MaskParts {
    const { levelled, members, moves } = this;
    return { self: this.o.config.id, levelled, members, moves, rows: () => this.ownRows() };
  }

  private async best(body: unknown): Promise<{ node: number }> {
    const { pid, mask } = (body ?? {}) as Record<string, unknown>;
    const { id } = this.o.config;
    const own = readHints({ mask });
    if (own === null) throw new TeselaError("E_USAGE", 'POST /best: mask: want "1-4,7"');
    const cpid = pid === undefined ? null : whyAsk(body);
    const row = cpid === null ? null : ((await this.ps()).find((r) => r.cpid === (cpid.includes(":") ? cpid : `${id}:${cpid}`)) ?? null);
    if (cpid !== null && !row)
      throw new TeselaError("E_NOENT_PID", `there is no process ${cpid} in the cluster that Tesela knows`, { pid: cpid });
    return { node: this.levelling.best(this.ownFigures(), row, row ? row.mask : own.mask) };
  }
}
