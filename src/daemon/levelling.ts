import { type Log, type NodeId, nodeId, TeselaError } from "../base/mod.ts";
import { Admission, brings, isOverloaded, lookAgainMs, type Needs, type NodeView, type Offer, place, placeAgain } from "../balance/mod.ts";
import { type Random, systemRandom } from "../io/mod.ts";
import type { NodeSample } from "../load/mod.ts";
import { ROOT } from "./authorize.ts";
import { Balancer, type Scene } from "./balancer.ts";
import type { EngineClient } from "./engine-client.ts";
import { ExecPlacement } from "./exec-placement.ts";
import { Figures } from "./figures.ts";
import { FreshNews } from "./fresh-news.ts";
import type { LiveSettings } from "./live-settings.ts";
import type { Levelled } from "./levelled.ts";
import type { Member, Members } from "./members.ts";
import { parseMask } from "./node-mask.ts";
import type { NodeStatus } from "./peer.ts";
import type { Policies } from "./policies.ts";
import type { EngineRow, OfferAnswer, RoomHere } from "./shapes.ts";
import { isSystem } from "./system.ts";
import { closedBy, type Flag } from "./verbs.ts";
import { GuestTerms, ownTerms, type Terms, type TermsOf } from "./terms.ts";

/** Until a move has measured it: a Gbit/s network, and what a kernel and a switch take. */
const BANDWIDTH = 100e6;
const RTT_MS = 0.3;
/** What is reckoned with, for `mosctl gettune`. */
export const MOVE_COSTS = { bandwidth: BANDWIDTH, callMs: RTT_MS };
/** Memory that asks to be looked at sooner than this does not wait for the round of each second. */
const PRESSING_MS = 1000;

/** Who does not answer so soon is not sent anything. */
const OFFER_MS = 3000;

/** What a node asks for itself. */
const AS_ROOT = { uid: ROOT, gid: ROOT, via: null };

const PRECISION = 1000;
const round = (n: number): number => Math.round(n * PRECISION) / PRECISION;

const allows = (mask: string | undefined, node: number): boolean => mask === undefined || parseMask(mask).allows(node);

export interface LevellingParts {
  readonly self: { readonly id: number };
  readonly engine: EngineClient;
  readonly members: Members;
  readonly levelled: Levelled;
  readonly policies: Policies;
  readonly settings: LiveSettings;
  readonly log: Log;
  readonly random?: Random;
  /** Where is kept what executables usually do. */
  readonly habitsFile: string;
  /** There is news for which the next round shall not wait. */
  readonly onNews: () => void;
  /** A process has moved from here by itself. */
  readonly moved: () => void;
}

/** What a node says of itself for its own decisions, beside what it tells the others. */
export interface OwnFigures extends NodeStatus {
  /** Its load by the average that rises slowly and falls fast. */
  readonly local: number;
  /** What runs here now. */
  readonly present: number;
  /** As in a {@link NodeView}. */
  readonly untried: boolean;
  /** When this was so, by `performance.now()`. */
  readonly sampledMs: number;
}

/** Of what a node tells of itself, what changes with those that are on their way to it. */
export type Expected = Pick<NodeSample, "memFree" | "memGrowth" | "load" | "util">;

/** Load levelling on this node: each second a look at what runs here, and a round of the balancer. */
export class Levelling {
  readonly balancer: Balancer;
  private readonly p: LevellingParts;
  private readonly figures = new Figures();
  private readonly news = new FreshNews();
  readonly placement: ExecPlacement;
  private readonly admission: Admission;
  private readonly guestTerms: GuestTerms;
  private own: OwnFigures | null = null;
  /** At home here, wherever they run; of the last round. */
  private mine: readonly EngineRow[] = [];

  constructor(parts: LevellingParts) {
    this.p = parts;
    this.balancer = new Balancer({
      self: parts.self.id,
      carry: (row, to, offer) => this.carry(row, to, offer),
      moved: parts.moved,
      random: parts.random ?? systemRandom,
      log: parts.log,
      knobs: () => parts.settings.now,
    });
    const { self, levelled, policies, log, settings, random = systemRandom, engine } = parts;
    this.admission = new Admission(() => settings.now.balance);
    this.guestTerms = new GuestTerms(async (home, pids) => {
      const answer = await parts.members.control(home).question("POST /terms", { pids }, AS_ROOT, AbortSignal.timeout(OFFER_MS));
      return (answer ?? {}) as TermsOf;
    });
    this.placement = new ExecPlacement({
      ...{ self: self.id, levelled, random, log, habitsFile: parts.habitsFile },
      knobs: () => settings.now.place,
      view: () => this.view(),
      open: () => this.own !== null && policies.level && !["stay", "lstay", "quiet"].some((f) => policies.has(f as Flag)),
      send: async (pid, to) => void (await engine.migrate({ pid, target: to, uid: ROOT })),
    });
  }

  [Symbol.dispose](): void {
    this.placement[Symbol.dispose]();
  }

  private view(): { self: NodeView; others: NodeView[] } {
    if (!this.own) throw new TeselaError("E_INTERNAL", "a program is placed before the node knows itself");
    return { self: { ...viewOf(this.p.self.id, this.own), load: this.own.local }, others: this.others() };
  }

  /** What this node is now, as soon as others may send to it. */
  knows(own: OwnFigures): void {
    this.own = own;
  }

  /**
   * @param rows what the engine and /proc say of the processes of this node, and of its guests
   * @returns as {@link Balancer.round}
   */
  round(rows: readonly EngineRow[], own: OwnFigures, enginePid: number, now: number): number | null {
    const { self, levelled, policies } = this.p;
    this.own = own;
    this.placement.tick(rows, now);
    this.mine = rows.filter((r) => r.role === "home");
    const here = rows.filter((r) => r.node === self.id && (r.role === "guest" || levelled.has(r.pid)));
    void this.guestTerms.keep(
      here.filter((r) => r.role === "guest"),
      now,
    );
    const terms = new Map(here.map((r) => [r.cpid, this.terms(r)]));
    const of = (row: EngineRow): Terms => terms.get(row.cpid) ?? this.terms(row);
    const coming = this.admission.arriving(now, own.sampledMs);
    const scene: Scene = {
      self: { ...viewOf(self.id, own), load: own.local, ageMs: now - own.sampledMs },
      others: this.others(),
      rows: here,
      figures: this.figures.take(here, now, (row) => of(row).pace),
      fixed: (row) => this.fixed(row, enginePid, of(row)),
      allowed: (row, node) => node === row.home || allows(of(row).hints.mask, node),
      job: (row) => of(row).hints.job,
      arriving: { bytes: coming.rss, rate: coming.rate },
      level: policies.level && !policies.has("quiet"),
    };
    const next = this.balancer.round(scene, now);
    if (this.balancer.isStuck) void this.askAround();
    return next;
  }

  /** What gossip says is a second old: there may be room by now. */
  private async askAround(): Promise<void> {
    const { members, onNews } = this.p;
    const up = members.list().filter((m) => m.state === "up" && m.status !== null);
    const heard = await this.news.ask(
      up.map(({ peer: { id }, status }) => ({ id, memTotal: status?.memTotal ?? 0, control: members.control(id) })),
    );
    if (heard) onNews();
  }

  /** Why another node shall not send a process here now; null when it may. */
  refusal(offer: Offer, now: number): string | null {
    const { own } = this;
    if (!own) return `node ${this.p.self.id} does not know itself yet`;
    const { present: load, untried, sampledMs } = own;
    const self = { ...viewOf(this.p.self.id, own), load, memGrowth: this.balancer.growth, untried, ageMs: now - sampledMs };
    return this.admission.answer(self, offer, now);
  }

  /** Whether this node has room for a program of another one, by what it is now: that counts as on its way for a while when it has. */
  room(needs: Needs, now: number): RoomHere {
    const { own } = this;
    if (!own) return { refusal: `node ${this.p.self.id} does not know itself yet` };
    return this.admission.room({ ...viewOf(this.p.self.id, own), load: own.present, ageMs: now - own.sampledMs }, needs, now);
  }

  /** Whether memory is, or will soon be, so short that the next round must not wait for its turn. */
  presses(memory: Pick<NodeSample, "memTotal" | "memFree" | "memGrowth">): boolean {
    return lookAgainMs({ self: memory, growth: memory.memGrowth }, this.p.settings.now.usher) < PRESSING_MS;
  }

  /** Whether something would leave a node that is so, if there were a place for it. */
  isCrowded(status: NodeStatus, load = status.load): boolean {
    return isOverloaded({ ...viewOf(this.p.self.id, status), load }, this.p.settings.now.balance);
  }

  /** What others are told of this node: as it will be when all is here that is on its way. */
  expected({ memFree, load, cpus, got, speed, util }: NodeSample, sampledMs: number): Expected {
    const { rss, growth, carried } = this.admission.arriving(performance.now(), sampledMs);
    return {
      memFree: Math.max(0, Math.round(memFree - rss)),
      memGrowth: Math.round(this.balancer.growth + growth),
      load: round(load + brings(carried, { cpus, got, speed })),
      util: round(Math.min(1, util + carried / cpus)),
    };
  }

  /** Bytes that one of this node's own processes has, wherever it runs; 0 of one that is not known. */
  rssOf(pid: number): number {
    return this.mine.find((r) => r.pid === pid)?.rss ?? 0;
  }

  /** All nodes as they are now, this one first. */
  places(own: OwnFigures): NodeView[] {
    return [{ ...viewOf(this.p.self.id, own), load: own.present }, ...this.others()];
  }

  /** Where a process is best placed now; without one, a program that computes and is about to begin here. */
  best(own: OwnFigures, row: Pick<EngineRow, "cpu" | "rss" | "home" | "node"> | null, mask?: string): number {
    const { self, settings, random = systemRandom } = this.p;
    const home = nodeId(row?.home ?? self.id);
    const allowed = (node: NodeId): boolean => node === home || allows(mask, node);
    const wants = { cpu: row?.cpu ?? 1, rss: row?.rss ?? 0, home, allowed };
    const [here, others] = [{ ...viewOf(self.id, own), load: own.local }, this.others()];
    if (row !== null) return placeAgain(nodeId(row.node), [here, ...others], wants, settings.now.place, random);
    return place({ self: here, others, inFlight: new Set<NodeId>() }, wants, settings.now.place, random) ?? self.id;
  }

  private others(): NodeView[] {
    return this.p.members.list().flatMap((m) => memberView({ ...m, ...this.news.of(m.peer.id, m.heard ?? Number.NEGATIVE_INFINITY) }));
  }

  private terms(row: EngineRow): Terms {
    const { levelled, policies } = this.p;
    return row.role === "guest" ? this.guestTerms.of(row.cpid) : ownTerms(levelled, row.pid, policies.decay);
  }

  private fixed(row: EngineRow, enginePid: number, terms: Terms): string[] {
    const { policies } = this.p;
    const reasons: string[] = [];
    if (policies.has("stay")) reasons.push("stay");
    if (terms.lock) reasons.push("lock");
    if (row.role === "guest") return reasons;
    if (policies.has("lstay")) reasons.push("lstay");
    if (row.state === "T") reasons.push("stopped");
    if (isSystem(row.pid, [process.pid, enginePid])) reasons.push("system");
    return reasons;
  }

  /** A guest is moved by its home, which alone decides (docs/decisions/0033). */
  private async carry(row: EngineRow, to: NodeId, offer: Offer): Promise<void> {
    const { self, engine, members } = this.p;
    const { refusal } = (await members.control(to).question("POST /offer", offer, AS_ROOT, AbortSignal.timeout(OFFER_MS))) as OfferAnswer;
    if (refusal !== null) throw new TeselaError("E_REFUSED", refusal, { node: to });
    const target = to === row.home ? ("home" as const) : to;
    if (row.home === self.id) await engine.migrate({ pid: row.pid, target, uid: ROOT });
    else await members.control(row.home).question("POST /carry", { pid: row.cpid, target: String(target) }, AS_ROOT);
  }
}

function viewOf(id: number, s: NodeStatus): NodeView {
  const { cpus, speed, load, memTotal, memFree, memGrowth = 0, cpu, got } = s;
  // Where only a flag says that the owner works there, all that is known of may be the owner's.
  const ownLoad = s.own ?? (s.flags.includes("owner") ? load : 0);
  const up = !s.flags.includes("noengine");
  const flag = closedBy(s.flags);
  const closed = up ? flag && `'${flag}' is set there` : "no engine runs there";
  const features = {
    ...(cpu !== undefined && { cpuFeatures: cpu }),
    ...(s.util !== undefined && { util: s.util }),
    ...(got !== undefined && { got }),
  };
  return {
    id: nodeId(id),
    cpus,
    speed,
    load,
    memTotal,
    memFree,
    memGrowth,
    ageMs: 0,
    accepts: closed === undefined,
    ...(closed !== undefined && { closed }),
    up,
    ownLoad,
    bandwidth: BANDWIDTH,
    rttMs: RTT_MS,
    ...features,
  };
}

function memberView({ peer, state, status, heard }: Member): NodeView[] {
  if (state !== "up" || !status || heard === null) return [];
  return [{ ...viewOf(peer.id, status), ageMs: performance.now() - heard }];
}
