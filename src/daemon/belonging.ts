import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Log, type NodeId, type Paths, TeselaError, toTeselaError } from "../base/mod.ts";
import {
  BACKDATE_MS,
  certify,
  checkIdentity,
  type Entry,
  holdsCa,
  IDENTITY_FILES,
  loadIdentity,
  makeRequest,
  requestedKey,
  saveCertificate,
} from "../cluster/mod.ts";
import { type Credentials, pick, type Random, shuffle } from "../io/mod.ts";
import type { BelongingService } from "./control.ts";
import { hashOf } from "./enrol.ts";
import type { PeerControl } from "./peer.ts";
import type { Roster } from "./roster.ts";

/** News is told to so many others at once, chosen by chance, and each of them goes on: all of n nodes know in log n steps. */
const FAN_OUT = 8;
const ANSWER_MS = 4000;
/** A certificate is renewed when so much of its time is left, and that is tried so often in that time. */
const LEFT = 1 / 3;
const TRIES = 50;
const MAX_TRY_MS = 3_600_000;

interface Parts {
  readonly paths: Paths;
  readonly self: NodeId;
  readonly roster: Roster;
  readonly random: Random;
  /** The nodes that are up now. */
  readonly others: () => readonly PeerControl[];
  /** There is a new certificate. */
  readonly renewed: (credentials: Credentials) => void;
  readonly log: Log;
}

/** Keeps this node's membership: spreads what is known of the nodes, has the certificate renewed, leaves. */
export class Belonging implements BelongingService {
  private readonly p: Parts;
  private asking = false;
  private nextTry = 0;

  constructor(parts: Parts) {
    this.p = parts;
    parts.roster.onNews = (news) => this.tell(news);
  }

  // --- what the others ask

  record(digest: string | undefined): readonly Entry[] {
    const { record } = this.p.roster;
    return digest === record.digest ? [] : record.all();
  }

  news(entries: readonly unknown[], from: NodeId): void {
    this.p.roster.merge(entries, `node ${from}`);
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

  /** Once a second: asks one other node for what it knows more, and looks after the certificate. */
  tick(): void {
    if (this.asking) return;
    this.asking = true;
    void Promise.all([this.compare(), this.renewInTime()]).finally(() => {
      this.asking = false;
    });
  }

  /** Makes this node one that has left, at a node that holds the CA's key. @throws E_NODE_DOWN, E_MISSING */
  async depart(): Promise<void> {
    const { roster, self, paths } = this.p;
    if (holdsCa(paths.identity)) return void this.leave(self);
    const entries = await this.fromAny("to leave", (other, signal) => other.leave(signal));
    roster.merge(entries, "the CA's node");
  }

  private tell(news: readonly Entry[]): void {
    for (const other of shuffle(this.p.random, this.p.others()).slice(0, FAN_OUT)) other.news(news);
  }

  private async compare(): Promise<void> {
    const others = this.p.others();
    if (others.length === 0) return;
    try {
      const { record } = this.p.roster;
      const entries = await pick(this.p.random, others).record(record.digest, AbortSignal.timeout(ANSWER_MS));
      if (entries.length > 0) this.p.roster.merge(entries, "another node");
    } catch (e) {
      this.p.log.debug("the membership was not compared", { error: toTeselaError(e).message });
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
