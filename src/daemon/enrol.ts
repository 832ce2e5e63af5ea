import type { Duplex } from "node:stream";
import { createHash, KeyObject, type webcrypto } from "node:crypto";
import { KiB, type Log, nodeId, type Paths, TeselaError, toTeselaError } from "../base/mod.ts";
import {
  admit,
  certify,
  gossipKeyText,
  type OpenToken,
  proves,
  readRequest,
  requestedKey,
  TokenStore,
  type Welcome,
} from "../cluster/mod.ts";
import { closeSoon, errorFrame, readFirst } from "../io/mod.ts";
import { codec } from "../wire/mod.ts";
import { readPeers } from "./config.ts";
import type { Roster } from "./roster.ts";

/** A wish is below 4 KiB. */
const MAX_WISH = 8 * KiB;
/** From the handshake to the wish. */
const WISH_MS = 5_000;

/** The TLS connection that a machine without a certificate has made, as the engine tells of it. */
export interface JoinAbout {
  /** What its two ends share: 32 bytes. */
  readonly binding: Buffer;
  /** ADDRESS:PORT */
  readonly from: string;
}

interface Parts {
  readonly paths: Paths;
  readonly cluster: string;
  readonly roster: Roster;
  readonly log: Log;
}

/** Lets machines join that prove to hold a token. To all others it says nothing, not even why: that is in the log. */
export class Enrolment {
  private readonly p: Parts;
  private readonly tokens: TokenStore;
  /** One at a time, so that no two get the same number. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(parts: Parts) {
    this.p = parts;
    this.tokens = new TokenStore(parts.paths.identity);
  }

  async serve(stream: Duplex, { binding, from }: JoinAbout): Promise<void> {
    stream.on("error", () => stream.destroy());
    let token: OpenToken;
    let wish: Buffer;
    try {
      const { message } = await readFirst(stream, from, MAX_WISH, AbortSignal.timeout(WISH_MS));
      if (message.type !== "join") throw new TeselaError("E_PROTOCOL", `it began with '${message.type}'`);
      wish = message.payload;
      token = this.proven(message.head, binding, wish);
    } catch (e) {
      this.p.log.warn("a machine that wanted to join was refused", { from, reason: toTeselaError(e).message });
      stream.destroy();
      return;
    }
    try {
      const work = this.last.then(() => this.enrol(token, wish));
      this.last = work.catch(() => undefined);
      const welcome = await work;
      this.p.log.info("a machine has joined", { from, node: welcome.node.id, name: welcome.node.name, token: token.id });
      for (const piece of codec.encode("joined", {}, [Buffer.from(JSON.stringify(welcome))])) stream.write(piece);
    } catch (e) {
      this.p.log.warn("a machine with a token could not join", { from, token: token.id, reason: toTeselaError(e).message });
      for (const piece of errorFrame(e)) stream.write(piece);
    }
    closeSoon(stream);
  }

  /** @throws E_REFUSED with what is wrong with the token, for the log only */
  private proven(head: { readonly token: Uint8Array; readonly proof: Uint8Array }, binding: Buffer, wish: Buffer): OpenToken {
    const id = Buffer.from(head.token).toString("hex");
    const { state, token } = this.tokens.find(id);
    const refuse = (what: string) => new TeselaError("E_REFUSED", `token ${id} ${what}`);
    if (token === null) throw refuse(state === "used" ? "was used already" : "is not one of this node's");
    if (!proves(head.proof, token.secret, binding, wish)) throw refuse("came without a proof of its secret");
    if (state === "expired") throw refuse(`expired at ${new Date(token.expires * 1000).toISOString()}`);
    return token;
  }

  private async enrol(token: OpenToken, bytes: Buffer): Promise<Welcome> {
    const { paths, cluster, roster } = this.p;
    const wish = readRequest(bytes);
    const ca = roster.ca();
    const gossip = gossipKeyText(paths.identity);
    const node = admit(wish, token, roster.record, readPeers(paths));
    const publicKey = await requestedKey(Buffer.from(wish.csr, "base64url"));
    const cert = await certify(ca, nodeId(node.id), publicKey);
    if (!this.tokens.use(token.id)) throw new TeselaError("E_REFUSED", "the token was used already");
    roster.say({ ...node, key: hashOf(publicKey) }, "member");
    return { node, cluster, cert, gossip, peers: readPeers(paths), record: roster.record.all() };
  }
}

/** As keyHash() of a certificate with that key. */
export function hashOf(key: webcrypto.CryptoKey): string {
  return createHash("sha256")
    .update(KeyObject.from(key).export({ type: "spki", format: "der" }))
    .digest("base64url");
}
