import { assert } from "../base/mod.ts";
import { type Clock, pick, type Random, shuffle, type Timer } from "../io/mod.ts";
import { Budget } from "./budget.ts";
import { type GossipKnobs, LAN } from "./gossip-knobs.ts";
import {
  decode,
  encode,
  type GossipMessage,
  LOAD_BYTES,
  type MemberState,
  MESSAGE_BYTES,
  type MessageType,
  type Rumour,
  rumourBytes,
  type Where,
} from "./gossip-message.ts";
import { Health } from "./health.ts";
import { LiveSet } from "./live-set.ts";
import type { LoadEntry } from "./load-entry.ts";
import { LoadVector } from "./load-vector.ts";
import { Prober } from "./prober.ts";
import { Rumours } from "./rumours.ts";
import { Suspicion } from "./suspicion.ts";

export interface Contact extends Where {
  readonly id: number;
}

/** Who sent a message, and its UDP address. */
export interface Sender {
  readonly id: number;
  readonly address: string;
  readonly port: number;
}

/** A member as this node knows it. */
export interface MemberView extends Contact {
  readonly state: MemberState;
  readonly incarnation: number;
  /** Of its present start, or of the last. */
  readonly life: number;
  /** Milliseconds for which it has been in that state. */
  readonly sinceMs: number;
  /** Its load, when what is known is still good. */
  readonly entry: LoadEntry | null;
  /** Of the entry; Infinity when there is none. */
  readonly ageMs: number;
}

/** `restarted`: it was up before and is up now, and was not in between. */
export type Change = (member: MemberView, was: MemberState | null, restarted: boolean) => void;

export interface MembershipOptions {
  readonly self: Contact;
  /** Nodes to begin with; others are heard of. */
  readonly seeds?: readonly Contact[];
  readonly clock: Clock;
  readonly random: Random;
  /** Sends a message of at most `knobs.messageBytes` to a node's gossip port, and forgets. */
  readonly send: (to: Contact, message: Buffer) => void;
  /** The node's own load now, called each `knobs.loadMs`; null when it is not to be told. */
  readonly entry: () => LoadEntry | null;
  /** Whether one of such a load is told sooner than others at this moment: one of those that are known, each time. */
  readonly prefers?: (load: LoadEntry) => boolean;
  readonly knobs?: GossipKnobs;
}

interface Member {
  where: Where;
  state: MemberState;
  incarnation: number;
  life: number;
  since: number;
  suspicion: Suspicion | null;
}

const isLive = (state: MemberState): boolean => state === "up" || state === "suspect";
/** Pages that are asked for and given, a second: a node that joins reads them all. */
const PAGES = { perSecond: 50, burst: 100 } as const;
/** The whole list is read at most so often. */
const WALK_MS = 10_000;
const MAX_INCARNATION = 0xffff_ffff;

/**
 * Who is in the cluster and how busy: SWIM (Das, Gupta, Motivala, DSN 2002) with suspicion, Lifeguard's local health, and Barak's load vector on the
 * same datagrams. Pure: time, chance and the network come in.
 */
export class Membership implements Disposable {
  private readonly o: MembershipOptions;
  private readonly knobs: GossipKnobs;
  private readonly self: Contact;
  private readonly life: number;
  private incarnation = 1;
  private leaving = false;
  private readonly members = new Map<number, Member>();
  private readonly banned = new Set<number>();
  /** Whose place is known from elsewhere. */
  private readonly placed = new Set<number>();
  private readonly live: LiveSet;
  private readonly dead: LiveSet;
  private readonly rumours = new Rumours();
  private readonly vector: LoadVector;
  private readonly health: Health;
  private readonly prober: Prober;
  private readonly pages: Budget;
  private readonly timers: Timer[] = [];
  private walkedAt = Number.NEGATIVE_INFINITY;
  private walking = 0;
  /** Who is just being answered and is not known yet. */
  private stranger: Contact | null = null;
  private sorted: number[] | null = null;
  private listener: Change = () => {};
  private loadListener: (id: number) => void = () => {};
  /** Messages that were none. */
  malformed = 0;

  constructor(o: MembershipOptions) {
    this.o = o;
    this.self = o.self;
    this.knobs = o.knobs ?? LAN;
    const { clock, random } = o;
    const { knobs } = this;
    this.life = random.int(2 ** 32);
    this.live = new LiveSet(random);
    this.dead = new LiveSet(random);
    this.health = new Health(knobs.healthMost);
    this.vector = new LoadVector({ clock, random, self: o.self.id, life: this.life, maxAgeMs: knobs.loadMaxAgeMs });
    this.pages = new Budget(clock, PAGES.perSecond, PAGES.burst);
    this.prober = new Prober({
      clock,
      random,
      knobs,
      live: this.live,
      health: this.health,
      send: (to, type, seq, about = 0) => this.send(to, type, seq, about),
      failed: (id) => this.failed(id),
    });
    this.takeOwn();
    this.addSeeds(o.seeds ?? []);
    this.tell(this.own());
    this.repeat(knobs.gossipMs, () => this.gossip());
    this.repeat(knobs.loadMs, () => this.tellLoad());
    this.repeat(knobs.reviveMs, () => this.revive());
    this.repeat(knobs.pageMs, () => this.comparePage());
    // Whoever of the seeds answers first brings the others.
    for (const id of this.dead.draw(knobs.fanout)) this.prober.nudge(id);
  }

  /** Is told of each change of a member's state, after it. */
  onChange(listener: Change): void {
    this.listener = listener;
  }

  /** Is told whose load was just heard. */
  onLoad(listener: (id: number) => void): void {
    this.loadListener = listener;
  }

  /** All that are known, this node excepted. */
  list(): MemberView[] {
    return [...this.members.keys()].map((id) => this.view(id));
  }

  get(id: number): MemberView | null {
    return this.members.has(id) ? this.view(id) : null;
  }

  /**
   * Nodes that belong to the cluster, whether heard of or not. Those that are known keep what is known of them; where they are is as it is said here, and
   * no rumour changes it. Some of those that are new are greeted at once.
   */
  setSeeds(seeds: readonly Contact[]): void {
    const added = shuffle(this.o.random, this.addSeeds(seeds));
    for (const id of added.slice(0, this.knobs.fanout)) this.prober.nudge(id);
  }

  private addSeeds(seeds: readonly Contact[]): number[] {
    const added: number[] = [];
    for (const { id, name, address, port, gossip } of seeds) {
      if (id === this.self.id) continue;
      this.banned.delete(id);
      const where = { name, address, port, gossip };
      const m = this.members.get(id);
      if (m === undefined) {
        this.add(id, where, "down", 0, 0);
        added.push(id);
      } else m.where = where;
      this.placed.add(id);
    }
    return added;
  }

  /** It is no member any more: it is neither listed nor listened to until it is a seed again. */
  remove(id: number): void {
    this.banned.add(id);
    this.placed.delete(id);
    this.members.get(id)?.suspicion?.[Symbol.dispose]();
    this.members.delete(id);
    this.sorted = null;
    this.live.remove(id);
    this.dead.remove(id);
    this.rumours.remove(id);
    this.vector.forget(id);
  }

  /** Whether what this node says is to be heard. */
  admits(id: number): boolean {
    return id !== this.self.id && !this.banned.has(id);
  }

  /** Says goodbye, so that nobody has to find out; resolves when that is sent. Ends the membership. */
  async leave(): Promise<void> {
    if (this.leaving) return;
    this.leaving = true;
    this.tell({ ...this.own(), state: "left", where: undefined });
    for (let round = 0; round < 2; round++) {
      this.gossip(2 * this.knobs.fanout);
      await this.o.clock.sleep(this.knobs.gossipMs);
    }
    this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.prober[Symbol.dispose]();
    for (const t of this.timers) t.cancel();
    for (const m of this.members.values()) m.suspicion?.[Symbol.dispose]();
  }

  /** A message of a node that holds the cluster's key, and where it wrote from. */
  receive(bytes: Buffer, { id: from, address, port }: Sender): void {
    if (!this.admits(from)) return;
    const m = decode(bytes);
    if (m === null) {
      this.malformed++;
      return;
    }
    for (const r of m.rumours) this.hear(r);
    const known = this.members.has(from);
    if (known) this.hear({ id: from, state: "up", incarnation: m.incarnation, life: m.life, by: from });
    for (const load of m.loads) if (this.members.has(load.id) && this.vector.merge(load)) this.loadListener(load.id);
    this.stranger = known ? null : { id: from, name: "", address, port: 0, gossip: port };
    this.answer(m, from);
    // The page that begins with it tells who it is.
    if (!known) this.put(from, { type: "page", seq: 0, about: from - 1, rumours: [], loads: [] });
    this.stranger = null;
  }

  private answer(m: GossipMessage, from: number): void {
    switch (m.type) {
      case "ping":
        this.send(from, "ack", m.seq, 0, this.correction(from, m));
        break;
      case "ack":
        this.prober.acked(from, m.seq);
        break;
      case "nack":
        this.prober.nacked(from, m.seq);
        break;
      case "ask":
        this.prober.help(from, m.seq, m.about);
        break;
      case "page":
        if (this.pages.take()) this.sendPage(from, m.about);
        break;
      case "list":
        if (from !== this.walking) break;
        if (m.about === 0) this.walking = 0;
        else this.send(from, "page", 0, m.about);
        break;
      case "news":
        break;
    }
  }

  /** What is held of the sender, when it is not what it says of itself: it alone can put that right. */
  private correction(from: number, said: GossipMessage): Rumour[] {
    const m = this.members.get(from);
    if (m === undefined || (m.state === "up" && m.life === said.life && m.incarnation === said.incarnation)) return [];
    return [this.rumourOf(from, m)];
  }

  /** Takes in what is said of a member, if it is newer than what is known, and passes it on. */
  private hear(r: Rumour): void {
    if (r.id === this.self.id) this.hearOfSelf(r);
    else if (!this.banned.has(r.id)) this.hearOfOther(r);
  }

  private hearOfOther(r: Rumour): void {
    const m = this.members.get(r.id);
    if (m === undefined) {
      if (r.where === undefined || r.incarnation === 0) return;
      this.add(r.id, r.where, r.state === "suspect" ? "up" : r.state, r.incarnation, r.life);
      this.tell(r);
      return;
    }
    const newer = r.incarnation > m.incarnation;
    if (r.state === "up") {
      if (newer) this.change(r, m);
      return;
    }
    if (r.incarnation < m.incarnation) return;
    if (r.state === "suspect") {
      if (m.state === "suspect" && !newer) {
        if (m.suspicion?.confirm(r.by)) this.tell(r);
      } else if (isLive(m.state) || newer) {
        this.change(r, m);
        if (this.o.random.int(Math.max(1, this.live.size)) < this.knobs.checkers && r.by !== this.self.id) this.prober.probe(r.id);
      }
    } else if (isLive(m.state) || newer || (r.state === "left" && m.state === "down")) this.change(r, m);
  }

  /** What was said of this node when it is not so, or of a former life of it. */
  private hearOfSelf(r: Rumour): void {
    if (this.leaving || r.incarnation < this.incarnation) return;
    if (r.state === "up" && r.life === this.life) return;
    if (r.state === "suspect" && r.life === this.life) this.health.worse(1);
    assert(r.incarnation < MAX_INCARNATION, "incarnations are used up");
    this.incarnation = r.incarnation + 1;
    this.tell(this.own());
  }

  private change(r: Rumour, m: Member): void {
    const was = m.state;
    const restarted = isLive(was) && r.state === "up" && r.life !== m.life;
    if (r.state === "up") this.vector.begins(r.id, r.life);
    m.suspicion?.[Symbol.dispose]();
    m.suspicion = null;
    Object.assign(m, {
      state: r.state,
      incarnation: r.incarnation,
      life: r.life,
      where: this.placed.has(r.id) ? m.where : (r.where ?? m.where),
    });
    if (was !== r.state || restarted) m.since = this.o.clock.now();
    this.place(r.id, m.state);
    if (m.state === "suspect") m.suspicion = this.suspect(r, m);
    // With the place: who has not heard of this member yet does so now.
    this.tell(r.state === "up" ? { ...r, where: m.where } : r);
    if (was !== m.state || restarted) this.listener(this.view(r.id), was, restarted);
    if (isLive(m.state) && !isLive(was)) this.walk(r.id);
  }

  private suspect(r: Rumour, m: Member): Suspicion {
    const { suspicion, suspicionAlone, probeMs } = this.knobs;
    const n = this.live.size + 1;
    const leastMs = Math.max(1, Math.log10(n)) * suspicion * probeMs;
    const mostMs = leastMs * (1 + (suspicionAlone - 1) * this.health.factor);
    // The suspect and this node are no witnesses.
    const enough = n - 2 >= suspicion - 2 ? Math.max(0, suspicion - 2) : 0;
    return new Suspicion(this.o.clock, { leastMs, mostMs, enough }, r.by, () =>
      this.hear({ id: r.id, state: "down", incarnation: m.incarnation, life: m.life, by: this.self.id }),
    );
  }

  private failed(id: number): void {
    const m = this.members.get(id);
    if (m !== undefined && isLive(m.state)) this.hear({ id, state: "suspect", incarnation: m.incarnation, life: m.life, by: this.self.id });
  }

  private add(id: number, where: Where, state: MemberState, incarnation: number, life: number): void {
    this.sorted = null;
    this.members.set(id, { where, state, incarnation, life, since: this.o.clock.now(), suspicion: null });
    this.place(id, state);
    this.listener(this.view(id), null, false);
  }

  private place(id: number, state: MemberState): void {
    const [to, from] = isLive(state) ? [this.live, this.dead] : [this.dead, this.live];
    from.remove(id);
    // Who left comes back by itself.
    if (state !== "left") to.add(id);
    else this.dead.remove(id);
  }

  private gossip(fanout = this.knobs.fanout): void {
    if (this.rumours.size === 0) return;
    for (const id of this.live.draw(fanout)) this.send(id, "news", 0);
  }

  /** Tells its load now, and some members of it: something has changed that is not to wait. */
  tellLoad(): void {
    this.takeOwn();
    const { prefers } = this.o;
    const first = prefers === undefined ? [] : this.vector.some((id, load) => this.live.has(id) && prefers(load), 1);
    const others = this.live.draw(this.knobs.loadFanout - first.length, ...first);
    for (const id of [...first, ...others]) this.send(id, "news", 0, 0, [], true);
  }

  private takeOwn(): void {
    const entry = this.o.entry();
    if (entry === null) this.vector.forget(this.self.id);
    else this.vector.setOwn(entry);
  }

  /** Nobody else would find out that a network is whole again. */
  private revive(): void {
    for (const id of this.dead.draw(this.live.size === 0 ? this.knobs.fanout : 1)) this.prober.nudge(id);
  }

  private comparePage(): void {
    for (const id of this.live.draw(1)) this.send(id, "page", 0, pick(this.o.random, this.ids()) - 1);
  }

  private ids(): readonly number[] {
    this.sorted ??= [...this.members.keys(), this.self.id].sort((a, b) => a - b);
    return this.sorted;
  }

  /** Reads another's whole list, page by page: it knows who joined while it was out of reach. */
  private walk(id: number): void {
    const now = this.o.clock.now();
    if (now - this.walkedAt < WALK_MS) return;
    this.walkedAt = now;
    this.walking = id;
    this.send(id, "page", 0, 0);
  }

  /** The members above a number, as many as fit. */
  private sendPage(to: number, above: number): void {
    const all = this.ids();
    const begin = all.findIndex((id) => id > above);
    const ids = begin < 0 ? [] : all.slice(begin);
    const rumours: Rumour[] = [];
    let left = this.knobs.messageBytes - MESSAGE_BYTES;
    let last = 0;
    for (const id of ids) {
      const m = this.members.get(id);
      const r = m === undefined ? this.own() : this.rumourOf(id, m);
      left -= rumourBytes(r);
      if (left < 0) break;
      last = id;
      if (r.incarnation > 0) rumours.push(r);
    }
    const more = last !== 0 && last !== ids.at(-1);
    this.put(to, { type: "list", seq: 0, about: more ? last : 0, rumours, loads: [] });
  }

  /** A message with as much news as fits; load goes before news when it is load that is sent. */
  private send(to: number, type: MessageType, seq: number, about = 0, first: readonly Rumour[] = [], load = false): void {
    const member = this.members.get(to);
    // One that is not up is told so, and who says it: it may be the first that it hears of either.
    const doubt = type === "ping" && member !== undefined && member.state !== "up";
    const certain = doubt ? [this.own(), this.rumourOf(to, member), ...first] : first;
    let left = this.knobs.messageBytes - MESSAGE_BYTES - certain.reduce((n, r) => n + rumourBytes(r), 0);
    const times = this.knobs.retransmit * Math.ceil(Math.log10(this.live.size + 2));
    const news = this.rumours
      .pick(load ? left / 2 : left, times, member?.state === "up")
      .filter((r) => (r.id !== to || r.state !== "up") && !certain.some((c) => c.id === r.id));
    left -= news.reduce((n, r) => n + rumourBytes(r), 0);
    // Whoever is in touch anyway hears at once how busy the other is.
    const most = load ? Math.floor(left / LOAD_BYTES) : Math.min(1, Math.floor(left / LOAD_BYTES));
    const loads = most > 0 ? this.vector.pick(most) : [];
    this.put(to, { type, seq, about, rumours: [...certain, ...news], loads });
  }

  private put(to: number, m: Omit<GossipMessage, "life" | "incarnation">): void {
    const member = this.members.get(to);
    const at = member === undefined ? this.stranger : { id: to, ...member.where };
    if (at === null || at.id !== to) return;
    this.o.send(at, encode({ ...m, life: this.life, incarnation: this.incarnation }));
  }

  private tell(r: Rumour): void {
    this.rumours.add(r);
  }

  private own(): Rumour {
    const { id, name, address, port, gossip } = this.self;
    return { id, state: "up", incarnation: this.incarnation, life: this.life, by: id, where: { name, address, port, gossip } };
  }

  private rumourOf(id: number, { state, incarnation, life, where }: Member): Rumour {
    return { id, state, incarnation, life, by: this.self.id, where };
  }

  private view(id: number): MemberView {
    const m = this.members.get(id);
    assert(m !== undefined, `node ${id} is a member`);
    const { where, state, incarnation, life, since } = m;
    const { entry = null, ageMs = Number.POSITIVE_INFINITY } = this.vector.get(id) ?? {};
    return { id, ...where, state, incarnation, life, sinceMs: this.o.clock.now() - since, entry, ageMs };
  }

  private repeat(ms: number, run: () => void): void {
    const { clock, random } = this.o;
    // Begun at a random moment, so that nodes that are started together do not speak together.
    const first = clock.after(random.float() * ms, () => {
      run();
      this.timers.push(clock.every(ms, run));
    });
    this.timers.push(first);
  }
}
