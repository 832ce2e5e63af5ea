import { setTimeout as sleep } from "node:timers/promises";
import { type Log, type NodeId, nodeId, type Paths, TeselaError } from "../base/mod.ts";
import type { FormerStanding, Keyring } from "../cluster/mod.ts";
import { type Channel, type Credentials, type Datagrams, shuffle, systemRandom } from "../io/mod.ts";
import { STANDARD_SPEED } from "../load/mod.ts";
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
import { Levelling, MOVE_COSTS } from "./levelling.ts";
import { listenUnix } from "./listen.ts";
import { type MaskParts, setMask } from "./masks.ts";
import { freshKeys } from "./key-exchange.ts";
import type { LiveKeys } from "./live-keys.ts";
import { type Member, Members } from "./members.ts";
import { mergeRows } from "./merge.ts";
import { Moves } from "./moves.ts";
import { mustKnow } from "./node-mask.ts";
import { inYards, nodeRow } from "./node-rows.ts";
import { OwnState } from "./own-state.ts";
import { Policies } from "./policies.ts";
import type { DialPeer, NodeStatus } from "./peer.ts";
import type { Roster } from "./roster.ts";
import { Rooms } from "./rooms.ts";
import { scopeOf } from "./scope.ts";
import { ownTerms, type TermsOf, termsAsk } from "./terms.ts";
import { Whys } from "./whys.ts";
import type { DaemonStatus, EngineRow, Hints, NodeRow, ProcessRow, RunAnswer, RunAsk } from "./shapes.ts";

const SAMPLE_MS = 1000;
/** At 500 MB/s a node of 1 GiB is full in two seconds. A look at memory alone takes half a millisecond. */
const MEMORY_MS = 200;
/** So long after an engine was found it is known what runs beside it. */
const FIRST_SAMPLE_MS = 250;
/** At most so often there is a round because others have come. */
const PROMPT_MS = 50;
/** `ps` does not wait longer for a node that is about to be found dead. */
const ROWS_MS = 2000;
/** Nor does `nodes` for an engine that hangs: then it tells what was last known of it. */
const FRESH_MS = 500;
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
  private readonly own: OwnState;
  private readonly underWay = new Set<string>();
  private readonly peersFile: Watched;
  private readonly channels = new Set<Channel>();
  private readonly open = new AsyncDisposableStack();
  /** A round is under way. */
  private inRound = false;
  private beats: NodeJS.Timeout | undefined = undefined;
  private soon: NodeJS.Timeout | undefined = undefined;
  private prompt: NodeJS.Timeout | undefined = undefined;

  private constructor(o: DaemonOptions) {
    this.o = o;
    this.policies = new Policies(`${o.paths.state}/policies.json`, () => o.level ?? o.settings.now.policy.level);
    this.levelled = new Levelled(
      `${o.paths.run}/levelled.json`,
      o.config.id,
      scopeOf(o.settings, () => this.own.engine?.pid ?? null),
    );
    this.own = new OwnState({
      ...{
        engine: o.engine,
        log: o.log,
        flags: () => [...this.policies.list(), ...this.underWay],
        movable: (pid) => this.levelled.has(pid),
      },
      speed: () => this.speed,
      expected: (sample, sampledMs) => this.levelling.expected(sample, sampledMs),
      rivals: () => o.rivals ?? o.settings.now.policy.rivals,
      greet: () => this.controls.tellEngine(),
      found: () => this.beat(FIRST_SAMPLE_MS),
      lost: () => this.gossip.tell(),
    });
    this.open.use(o.keys);
    this.gossip = this.open.use(this.begunGossip());
    o.keys.onChange = (ring) => this.gossip.setKeys(ring);
    this.members = this.open.use(new Members(o.config.id, o.dial, this.gossip));
    const flags = (member: Member): readonly string[] => this.controls.known(member)?.flags ?? [];
    this.moves = new Moves(o.config, this.members, o.engine, this.levelled, (...move) => this.whys.note(...move), flags);
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
        moved: () => this.levelPromptly(),
      }),
    );
    this.controls = new Controls({
      ...shared,
      self: o.config.id,
      leaving: () => this.levelling.balancer.isMoving,
      speed: () => this.speed,
      underWay: this.underWay,
      changed: async () => {
        await this.own.askAnew();
        this.gossip.tell();
      },
    });
    this.whys = new Whys({
      ...{ self: o.config.id, levelled: this.levelled, members: this.members },
      decisions: this.levelling.balancer.decisions,
      level: () => this.policies.level,
      quiet: () => this.policies.has("quiet"),
      ps: () => this.ps(),
    });
    this.rooms = new Rooms({
      self: o.config,
      members: this.members,
      places: () => this.levelling.places({ ...this.own.figures(), util: this.own.shown().util }),
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
    this.o.roster.onPeers = () => {
      if (this.belonging.standing === null) this.readMembership();
    };
    this.beat(FIRST_SAMPLE_MS);
    this.open.defer(() => clearInterval(this.beats));
    this.open.defer(() => clearTimeout(this.soon));
    this.open.defer(() => clearTimeout(this.prompt));
    await this.turn();
    const watch = setInterval(() => void this.watch(), MEMORY_MS);
    this.open.defer(() => clearInterval(watch));
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
    const prove = async (at: Peer, ms: number): Promise<void> => (await this.o.dial(at, AbortSignal.timeout(ms))).close();
    const keys = (): Keyring => this.o.keys.ring;
    this.discovery = await openDiscovery({ paths, config, roster, keys, random: systemRandom, isUp, prove, log }, this.open);
  }

  private serve(channel: Channel): void {
    this.channels.add(channel);
    void channel.closed.then(() => this.channels.delete(channel));
    const service: ControlService = {
      status: () => this.own.facts(),
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
    const hear = { admits, lost, opened: () => this.levelPromptly(), unknownKey };
    // Where many are, few of whom have something to give away, it would be long before one of those heard of a newcomer.
    const prefers = (other: NodeStatus): boolean => this.own.isNew && this.levelling.isCrowded(other);
    return new Gossip({ ...{ self, keys, datagrams, log, knobs }, ...hear, status: () => this.own.told(), prefers });
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

  /** From now on a tick each second, the first one after so long. */
  private beat(firstMs: number): void {
    clearInterval(this.beats);
    this.beats = setTimeout(() => {
      this.beats = setInterval(() => void this.tick(), SAMPLE_MS);
      void this.tick();
    }, firstMs);
  }

  private async tick(): Promise<void> {
    const isNews = this.own.sample();
    if (this.own.isOpen) this.levelling.knows(this.own.figures());
    if (isNews) this.gossip.tell();
    await this.turn();
  }

  private async turn(): Promise<void> {
    this.levelled.sample(this.own.everybody);
    if (this.belonging.standing === null) this.readMembership();
    this.belonging.tick();
    this.discovery?.tick();
    await this.own.ask();
    await this.level();
  }

  /** A round of the balancer. Without an engine nothing can move. */
  private async level(): Promise<void> {
    const { engine, isOpen } = this.own;
    if (!engine || !isOpen || this.inRound) return;
    this.inRound = true;
    try {
      const next = this.levelling.round(await this.ownRows(), this.own.figures(), engine.pid, performance.now());
      if (next !== null && next < SAMPLE_MS) this.levelSoon(next);
    } catch (e) {
      this.o.log.error("a round of load levelling failed", { error: e });
    } finally {
      this.inRound = false;
    }
  }

  /** There is a node to send to that was not: who is crowded does not wait for the next tick. Of many that come at once, one round. */
  private levelPromptly(): void {
    const own = this.own.figures();
    if (this.prompt !== undefined || !this.levelling.isCrowded(own, own.local)) return;
    this.prompt = setTimeout(() => {
      this.prompt = undefined;
      if (this.inRound) this.levelPromptly();
      else void this.level();
    }, PROMPT_MS);
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

  /** Between the ticks: memory can run out in less than a second, and an engine that starts is waited for. */
  private async watch(): Promise<void> {
    if (this.own.sampleMemory()) this.gossip.tell();
    if (this.own.engine === null) await this.own.ask();
    if (this.levelling.presses(this.own.memory)) await this.level();
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
      engine: this.own.engine,
      ...(standing !== null && { standing }),
      ...(refusal !== null && { refusal }),
    };
  }

  private async nodes(): Promise<NodeRow[]> {
    // Whoever asks wants to know of now, and of what he has done himself.
    await Promise.race([this.own.askAnew(), sleep(FRESH_MS, undefined, { ref: false })]);
    if (this.belonging.standing === null) this.readMembership();
    const own = nodeRow(this.o.roster.peers().find((p) => p.id === this.o.config.id) ?? this.o.config, "up", this.own.shown());
    const { standing } = this.belonging;
    if (standing !== null) return [{ ...own, state: standing }];
    const rows = [own, ...this.members.list().map((m) => nodeRow(m.peer, m.state, this.controls.known(m)))];
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
    if (ask.hints?.mask !== undefined) mustKnow(ask.hints.mask, this.members.numbers());
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
    if (own.mask !== undefined) mustKnow(own.mask, this.members.numbers());
    const cpid = pid === undefined ? null : whyAsk(body);
    const row = cpid === null ? null : ((await this.ps()).find((r) => r.cpid === (cpid.includes(":") ? cpid : `${id}:${cpid}`)) ?? null);
    if (cpid !== null && !row)
      throw new TeselaError("E_NOENT_PID", `there is no process ${cpid} in the cluster that Tesela knows`, { pid: cpid });
    return { node: this.levelling.best(this.own.figures(), row, row ? row.mask : own.mask) };
  }
}
