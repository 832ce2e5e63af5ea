import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Log, type NodeId, type Paths, TeselaError, toTeselaError } from "../base/mod.ts";
import {
  BACKDATE_MS,
  certify,
  checkIdentity,
  type Entry,
  type FormerStanding,
  holdsCa,
  IDENTITY_FILES,
  loadIdentity,
  makeRequest,
  requestedKey,
  saveCertificate,
  type SignedKey,
} from "../cluster/mod.ts";
import { type Credentials, pick, type Random, shuffle } from "../io/mod.ts";
import type { BelongingService } from "./control.ts";
import { hashOf } from "./enrol.ts";
import { KeyExchange } from "./key-exchange.ts";
import type { LiveKeys } from "./live-keys.ts";
import type { PeerControl } from "./peer.ts";
import type { Roster } from "./roster.ts";

/** News is told to so many others at once, chosen by chance, and each of them goes on: all of n nodes know in log n steps. */
const FAN_OUT = 8;
const ANSWER_MS = 4000;
/** A node that is about to be removed and seems to be down is waited for so long, and is out anyway. */
const REACH_MS = 1000;
const MAX_HINTS = 64;
/** A certificate is renewed when so much of its time is left, and that is tried so often in that time. */
const LEFT = 1 / 3;
const TRIES = 50;
const MAX_TRY_MS = 3_600_000;

interface Parts {
  readonly paths: Paths;
  readonly self: NodeId;
  readonly roster: Roster;
  readonly random: Random;
  readonly keys: LiveKeys;
  /** The nodes that are up now. */
  readonly others: () => readonly PeerControl[];
  /** All others, also those that do not seem to be there. */
  readonly everybody: () => readonly PeerControl[];
  /** There is a new certificate. */
  readonly renewed: (credentials: Credentials) => void;
  readonly log: Log;
}

/** Keeps this node's membership: spreads what is known of the nodes and the key that belongs to it, has the certificate renewed, leaves. */
export class Belonging implements BelongingService {
  private readonly p: Parts;
  private readonly exchange: KeyExchange;
  /** Nodes that may have a key that is not known here. */
  private readonly hints = new Set<number>();
  /** Why the last node that was asked does not accept this one. */
  refusal: string | null = null;
  private byHint = false;
  private asking = false;
  private nextTry = 0;
  /** Called when this node has left or was removed. */
  onOut: (standing: FormerStanding) => void = () => undefined;

  constructor(parts: Parts) {
    this.p = parts;
    this.exchange = new KeyExchange(parts);
    parts.roster.onNews = (news) => this.heard(news);
    // It may have ended between a removal and the key after it.
    this.exchange.renewIfNeeded();
  }

  /** Null while it is a member. */
  get standing(): FormerStanding | null {
    const standing = this.p.roster.record.get(this.p.self)?.standing ?? "member";
    return standing === "member" ? null : standing;
  }

  // --- what the others ask

  record(digest: string | undefined): readonly Entry[] {
    const { record } = this.p.roster;
    return digest === record.digest ? [] : record.all();
  }

  news(entries: readonly unknown[], from: NodeId): void {
    this.p.roster.merge(entries, `node ${from}`);
  }

  keys(body: unknown, from: NodeId): { key: SignedKey | null } {
    return this.exchange.answer(body, from, () => this.tell([], from));
  }

  async renew(node: NodeId, csr: Buffer): Promise<string> {
    const ca = this.p.roster.ca();
    const publicKey = await requestedKey(csr);
    const why = this.p.roster.record.get(node)?.key === hashOf(publicKey) ? null : "its key is not the one that the cluster knows it by";
    if (why !== null) throw new TeselaError("E_REFUSED", `node ${node} gets no new certificate: ${why}`);
    this.p.log.info("a certificate is renewed", { node });
    return await certify(ca, node, publicKey);
  }

  leave(node: NodeId): Entry {
    const { roster } = this.p;
    return roster.say(roster.find(String(node)), "left");
  }

  // --- what this node does

  /** A datagram that says it is of that node is sealed with a key that is not known here. */
  unknownKey(node: NodeId): void {
    if (this.hints.size < MAX_HINTS) this.hints.add(node);
  }

  /** So that the node itself can be told at once what is said of it next. */
  async reach(node: number): Promise<void> {
    const other = this.p.everybody().find((o) => o.node === node);
    const isUp = this.p.others().some((o) => o.node === node);
    await other?.record(this.p.roster.record.digest, AbortSignal.timeout(isUp ? ANSWER_MS : REACH_MS)).catch(() => undefined);
  }

  /** Once a second: asks one other node for what it knows more, and looks after the certificate. */
  tick(): void {
    this.p.keys.look();
    if (this.asking || this.standing !== null) return;
    this.asking = true;
    void Promise.all([this.compare(), this.renewInTime()]).finally(() => {
      this.asking = false;
    });
  }

  /** Makes this node one that has left, at a node that holds the CA's key. @throws E_NODE_DOWN, E_MISSING */
  async depart(): Promise<void> {
    const { roster, self, paths } = this.p;
    if (this.standing !== null) return;
    if (holdsCa(paths.identity)) {
      // It says so itself, and is not heard afterwards: over streams that are open it is in time.
      await Promise.all(this.p.others().map((o) => this.reach(o.node)));
      return void this.leave(self);
    }
    try {
      roster.merge(await this.fromAny("to leave", (other, signal) => other.leave(signal)), "the CA's node");
    } catch (e) {
      // What the cluster says of this node may come before the answer, and ends all streams.
      if (this.standing === null) throw e;
    }
  }

  private heard(news: readonly Entry[]): void {
    const { self, paths } = this.p;
    const { standing } = this;
    if (standing !== null) {
      if (!news.some((e) => e.id === self)) return;
      // Otherwise the others say it to one another, with the key that is not for this node.
      if (standing === "left" && holdsCa(paths.identity)) this.tell(news);
      this.onOut(standing);
      return;
    }
    this.exchange.renewIfNeeded();
    this.tell(news);
    const gone = new Set(news.flatMap((e) => (e.standing === "member" ? [] : [e.id])));
    for (const other of this.p.everybody()) if (gone.has(other.node)) other.news(news.filter((e) => e.id === other.node));
  }

  /** The key comes before the news that it belongs to, so that no second node makes another one. */
  private tell(news: readonly Entry[], except?: number): void {
    const others = this.p.others().filter((o) => o.node !== except);
    for (const other of shuffle(this.p.random, others).slice(0, FAN_OUT)) {
      this.exchange.push(other);
      if (news.length > 0) other.news(news);
    }
  }

  /**
   * One that is up; without any one that should be; first one that seems to know a key that this node does not. Anybody can make it
   * seem so, so that is every other time only.
   */
  private somebody(): PeerControl | null {
    const everybody = this.p.everybody();
    this.byHint = !this.byHint && this.hints.size > 0;
    const hinted = this.byHint ? everybody.filter((o) => this.hints.has(o.node)) : [];
    if (this.byHint) this.hints.clear();
    const others = [hinted, this.p.others(), everybody].find((list) => list.length > 0);
    return others === undefined ? null : pick(this.p.random, others);
  }

  private async compare(): Promise<void> {
    const other = this.somebody();
    if (other === null) return;
    try {
      const { record } = this.p.roster;
      if (await this.exchange.sync(other, AbortSignal.timeout(ANSWER_MS))) this.tell([], other.node);
      const entries = await other.record(record.digest, AbortSignal.timeout(ANSWER_MS));
      if (entries.length > 0) this.p.roster.merge(entries, "another node");
      this.refusal = null;
    } catch (e) {
      const { code, message } = toTeselaError(e);
      const { log } = this.p;
      if (code === "E_IDENTITY" && this.refusal !== message)
        log.warn("a node does not accept this one: was it removed?", { reason: message });
      else log.debug("the membership was not compared", { error: message });
      if (code === "E_IDENTITY") this.refusal = message;
    }
  }

  private async renewInTime(): Promise<void> {
    const { paths, self, roster, log, renewed } = this.p;
    if (Date.now() < this.nextTry && this.nextTry - Date.now() <= MAX_TRY_MS) return;
    try {
      const { lifeMs, leftMs } = timesOf(readFileSync(`${paths.identity}/${IDENTITY_FILES.cert}`, "utf8"));
      this.nextTry = Date.now() + Math.min(MAX_TRY_MS, (lifeMs * LEFT) / TRIES);
      if (leftMs > lifeMs * LEFT) return;
      const old = loadIdentity(paths.identity);
      const csr = await makeRequest(old.key);
      const cert = holdsCa(paths.identity)
        ? await certify(roster.ca(), self, await requestedKey(csr))
        : await this.fromAny("for a new certificate", (other, signal) => other.renew(csr, signal));
      const named = checkIdentity({ ca: old.ca, cert, key: old.key }, "the renewed certificate");
      if (named.node !== self) throw new TeselaError("E_IDENTITY", `the renewed certificate names node ${named.node}`);
      saveCertificate(paths.identity, cert);
      renewed({ ...old, cert });
      log.info("this node's certificate is renewed", { until: new X509Certificate(cert).validToDate.toISOString() });
    } catch (e) {
      log.warn("this node's certificate is not renewed yet", { error: toTeselaError(e).message });
    }
  }

  /** Asks one node after the other until one that holds the CA's key answers. @throws E_NODE_DOWN when none is up */
  private async fromAny<T>(what: string, ask: (other: PeerControl, signal: AbortSignal) => Promise<T>): Promise<T> {
    let refused: unknown = null;
    for (const other of shuffle(this.p.random, this.p.others())) {
      try {
        return await ask(other, AbortSignal.timeout(ANSWER_MS));
      } catch (e) {
        if (!(e instanceof TeselaError && e.code === "E_MISSING")) refused = e;
      }
    }
    throw refused ?? new TeselaError("E_NODE_DOWN", `no node that holds the cluster's CA key is up, which is needed ${what}`);
  }
}

/** How long a certificate is good from its making on, and from now on; milliseconds. */
export function timesOf(pem: string, now = Date.now()): { lifeMs: number; leftMs: number } {
  const { validFromDate, validToDate } = new X509Certificate(pem);
  const until = validToDate.getTime();
  return { lifeMs: until - validFromDate.getTime() - BACKDATE_MS, leftMs: until - now };
}
