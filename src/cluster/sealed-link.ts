import { type NodeId, present } from "../base/mod.ts";
import type { Clock, Datagrams, Endpoint, Random } from "../io/mod.ts";
import { Budget } from "./budget.ts";
import { ReplayWindow } from "./replay-window.ts";
import { HEADER, type Header, KIND, type Keyring, type Kind, readHeader, seal, TAG, tokenOf, unseal } from "./seal.ts";

/** What sealing adds to a message: header, the sender's token for the receiver, tag. */
export const SEAL_BYTES = HEADER + 8 + TAG;
/** A WELCOME's body: whose HELLO it answers (life, count), and the token. A HELLO is padded to it, so that no answer is longer than its question. */
const WELCOME_BODY = 24;
/** A lost HELLO is said again with the first message after this. */
const HELLO_AGAIN_MS = 200;
/** A message that found the other in another life than thought is sent again when it is not older than this. */
const RESEND_MS = 1000;
/** Datagrams a second that are decrypted for those who are in no session yet. A node meets far fewer. */
const STRANGERS = { perSecond: 500, burst: 1000 } as const;
/** Datagrams a second of one session that may turn out to be forged before it is not listened to for a while. */
const FORGED = { perSecond: 100, burst: 200 } as const;
/** Answers a second to one node that begins a session. */
const WELCOMES = { perSecond: 5, burst: 10 } as const;

export interface LinkOptions {
  readonly self: NodeId;
  readonly keys: Keyring;
  readonly datagrams: Datagrams;
  readonly clock: Clock;
  readonly random: Random;
  /**
   * Where a node that says it is `node`, from `from`, is answered: at the place where it is known to be, wherever it claims to write from.
   * Null: it is not listened to.
   */
  readonly answerAt: (node: NodeId, from: Endpoint) => Endpoint | null;
  /** Something came that says it is of `node` and sealed with a key that is not in the ring. Nothing proves that: it may only be a reason to ask. */
  readonly unknownKey?: (node: NodeId) => void;
}

export type Drop = "shape" | "key" | "notForUs" | "stranger" | "replayed" | "flood" | "forged" | "stale";

interface Session {
  /** Datagrams sent to it so far. */
  count: number;
  /** What it shows us: the life it lives, and the token it was given for it. Null before it proved any. */
  life: bigint | null;
  keyId: number;
  key: Buffer | null;
  window: ReplayWindow;
  token: bigint;
  /** Lives that it proved so far: a token of a former one is never good again. */
  serial: number;
  /** A life it has said hello for and not proven yet, and the newest count of it. */
  hello: { readonly life: bigint; newest: number } | null;
  /** What we show it. */
  theirs: { readonly life: bigint; readonly token: bigint } | null;
  /** The newest of our datagrams that it answered with a WELCOME. */
  echoed: number;
  helloAt: number;
  last: { readonly bytes: Uint8Array; readonly at: number; readonly to: Endpoint } | null;
  readonly forged: Budget;
  readonly welcomes: Budget;
}

/** It lives that life now. What it said before it was listened to is not to be taken a second time. */
function begin(s: Session, h: Header): void {
  s.window = new ReplayWindow();
  if (s.hello?.life === h.life) s.window.startAfter(s.hello.newest);
  s.life = h.life;
  s.token = h.token;
  s.serial++;
  s.hello = null;
}

/**
 * Messages between nodes that hold the cluster's key. Replays are told without clocks: before a node listens to another, that one has to
 * show a token made for its present life in the node's own present life, and each datagram's count is taken once.
 *
 *     A  HELLO              ->  B     nothing changes at B
 *     A  <-  WELCOME token      B     good for A's life only
 *     A  DATA token, message -> B     now B listens, and learns its own token for A
 *
 * DATA with a token of a former life counts as HELLO: a node that was restarted is known again after one more round trip.
 */
export class SealedLink {
  private readonly o: LinkOptions;
  private keys: Keyring;
  private readonly life: bigint;
  private readonly secret: Buffer;
  private key: Buffer;
  private readonly sessions = new Map<number, Session>();
  private readonly strangers: Budget;
  private handler: ((message: Buffer, from: NodeId, at: Endpoint) => void) | null = null;
  /** Datagrams that were dropped, by reason, and how many were decrypted. */
  readonly dropped: Record<Drop, number> = {
    shape: 0,
    key: 0,
    notForUs: 0,
    stranger: 0,
    replayed: 0,
    flood: 0,
    forged: 0,
    stale: 0,
  };
  decrypted = 0;

  constructor(o: LinkOptions) {
    this.o = o;
    this.keys = o.keys;
    this.life = o.random.bytes(8).readBigUInt64BE(0);
    this.secret = o.random.bytes(32);
    this.key = this.ownKey();
    this.strangers = new Budget(o.clock, STRANGERS.perSecond, STRANGERS.burst);
    o.datagrams.onDatagram((bytes, from) => this.receive(bytes, from));
  }

  /** Sets the one handler of messages; `from` holds the cluster's key, and `at` is where it wrote from. */
  onMessage(handler: (message: Buffer, from: NodeId, at: Endpoint) => void): void {
    this.handler = handler;
  }

  /** From now on these keys. Sessions go on. */
  setKeys(keys: Keyring): void {
    this.keys = keys;
    this.key = this.ownKey();
  }

  /** Sends and forgets. To a node of which no token is known, HELLO goes first and the newest message follows when it answers. */
  send(to: { readonly id: NodeId } & Endpoint, message: Uint8Array): void {
    const s = this.session(to.id);
    s.last = { bytes: message, at: this.o.clock.now(), to: { address: to.address, port: to.port } };
    if (s.theirs !== null) {
      this.data(to.id, s, s.theirs, message, s.last.to);
      return;
    }
    if (this.o.clock.now() - s.helloAt < HELLO_AGAIN_MS) return;
    s.helloAt = this.o.clock.now();
    this.put(KIND.HELLO, to.id, s, 0n, Buffer.alloc(WELCOME_BODY), s.last.to);
  }

  /** Lets go of what is kept of a node: one that is no member any more. */
  forget(node: NodeId): void {
    const s = this.sessions.get(node);
    // Its count and its lives stay: numbers used with one key must not come again, nor old tokens become good.
    if (s !== undefined) this.sessions.set(node, { ...this.blank(), count: s.count, serial: s.serial + 1, echoed: s.echoed });
  }

  private ownKey(): Buffer {
    return present(this.keys.of(this.keys.primary, this.o.self, this.life), "the sealing key");
  }

  private data(node: NodeId, s: Session, theirs: { life: bigint; token: bigint }, message: Uint8Array, at: Endpoint): void {
    const own = s.life === theirs.life ? s.token : this.nextToken(node, s, theirs.life);
    const body = Buffer.alloc(8 + message.length);
    body.writeBigUInt64BE(own, 0);
    body.set(message, 8);
    this.put(KIND.DATA, node, s, theirs.token, body, at);
  }

  private put(kind: Kind, to: number, s: Session, token: bigint, body: Buffer, at: Endpoint): void {
    const header: Header = { kind, keyId: this.keys.primary, from: this.o.self, to, life: this.life, token, count: s.count++ };
    this.o.datagrams.send(at, seal(this.key, header, body));
  }

  private nextToken(node: number, s: Session, life: bigint): bigint {
    return tokenOf(this.secret, node, life, s.serial + 1);
  }

  private receive(bytes: Buffer, from: Endpoint): void {
    const reason = this.take(bytes, from);
    if (reason !== null) this.dropped[reason]++;
  }

  /** Cheap questions first. Null: it was taken. */
  private take(bytes: Buffer, from: Endpoint): Drop | null {
    const h = readHeader(bytes);
    if (h === null) return "shape";
    const known = this.keys.has(h.keyId);
    if (h.to !== this.o.self || h.from === this.o.self || h.from === 0) return known ? "notForUs" : "key";
    if (!known) {
      this.o.unknownKey?.(h.from as NodeId);
      return "key";
    }
    const node = h.from as NodeId;
    const at = this.o.answerAt(node, from);
    if (at === null) return "stranger";
    const s = this.sessions.get(node);
    if (h.kind === KIND.WELCOME) return this.welcome(h, bytes, node, s);
    if (s !== undefined && s.life === h.life) {
      if (!s.window.fresh(h.count)) return "replayed";
      if (h.kind === KIND.DATA && h.token === s.token && h.keyId === s.keyId && s.key !== null) {
        if (!s.forged.some) return "flood";
        const body = this.open(s.key, h, bytes);
        if (body === null) return s.forged.take() ? "forged" : "flood";
        return this.deliver(h, body, node, s, from);
      }
    } else if (s?.hello?.life === h.life && h.kind === KIND.HELLO && h.count <= s.hello.newest) return "replayed";
    return this.unknown(h, bytes, node, at, from);
  }

  /** A life that has proven nothing yet, or another key than before. */
  private unknown(h: Header, bytes: Buffer, node: NodeId, at: Endpoint, from: Endpoint): Drop | null {
    if (!this.strangers.take()) return "flood";
    const key = this.keys.of(h.keyId, h.from, h.life);
    const body = key === null ? null : this.open(key, h, bytes);
    if (body === null) return "forged";
    const s = this.session(node);
    const same = s.life === h.life;
    if (h.kind === KIND.DATA && h.token === (same ? s.token : this.nextToken(node, s, h.life))) {
      if (!same) begin(s, h);
      s.keyId = h.keyId;
      s.key = key;
      return this.deliver(h, body, node, s, from);
    }
    if (same) s.window.mark(h.count);
    else if (s.hello?.life !== h.life) s.hello = { life: h.life, newest: h.count };
    else if (h.count <= s.hello.newest) return "replayed";
    else s.hello.newest = h.count;
    if (!s.welcomes.take()) return "flood";
    const answer = Buffer.alloc(WELCOME_BODY);
    answer.writeBigUInt64BE(h.life, 0);
    answer.writeUIntBE(h.count, 10, 6);
    answer.writeBigUInt64BE(same ? s.token : this.nextToken(node, s, h.life), 16);
    this.put(KIND.WELCOME, node, s, 0n, answer, at);
    return h.kind === KIND.HELLO ? null : "stale";
  }

  /** Good only as the answer to a datagram of this life that none has answered yet. */
  private welcome(h: Header, bytes: Buffer, node: NodeId, s: Session | undefined): Drop | null {
    if (s === undefined || s.echoed >= s.count - 1) return "replayed";
    if (!this.strangers.take()) return "flood";
    const key = this.keys.of(h.keyId, h.from, h.life);
    const body = key === null ? null : this.open(key, h, bytes);
    if (body === null || body.length !== WELCOME_BODY) return "forged";
    const echo = body.readUIntBE(10, 6);
    if (body.readBigUInt64BE(0) !== this.life || echo <= s.echoed || echo >= s.count) return "replayed";
    s.echoed = echo;
    s.theirs = { life: h.life, token: body.readBigUInt64BE(16) };
    if (s.last !== null && this.o.clock.now() - s.last.at <= RESEND_MS) this.data(node, s, s.theirs, s.last.bytes, s.last.to);
    s.last = null;
    return null;
  }

  private open(key: Buffer, h: Header, bytes: Buffer): Buffer | null {
    this.decrypted++;
    return unseal(key, h, bytes);
  }

  private deliver(h: Header, body: Buffer, node: NodeId, s: Session, from: Endpoint): Drop | null {
    if (body.length < 8) return "shape";
    s.window.mark(h.count);
    s.theirs = { life: h.life, token: body.readBigUInt64BE(0) };
    this.handler?.(body.subarray(8), node, from);
    return null;
  }

  private session(node: number): Session {
    let s = this.sessions.get(node);
    if (s === undefined) {
      s = this.blank();
      this.sessions.set(node, s);
    }
    return s;
  }

  private blank(): Session {
    return {
      count: 0,
      life: null,
      keyId: 0,
      key: null,
      window: new ReplayWindow(),
      token: 0n,
      serial: 0,
      hello: null,
      theirs: null,
      echoed: -1,
      helloAt: Number.NEGATIVE_INFINITY,
      last: null,
      forged: new Budget(this.o.clock, FORGED.perSecond, FORGED.burst),
      welcomes: new Budget(this.o.clock, WELCOMES.perSecond, WELCOMES.burst),
    };
  }
}
