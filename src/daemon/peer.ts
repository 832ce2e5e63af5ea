import type { Entry, LoadEntry } from "../cluster/mod.ts";
import type { Caller } from "./authorize.ts";
import type { Peer } from "./config.ts";
import type { EngineRow, MigrateAsk, Migrated, WhyNot } from "./shapes.ts";

/** What a node can offer, and how busy it is. */
export type NodeStatus = LoadEntry;

/** The teselad of another node, reached over a control stream. Its errors arrive as they were; E_LINK when the stream breaks. */
export interface PeerControl {
  readonly node: number;
  status(signal: AbortSignal): Promise<NodeStatus>;
  processes(signal: AbortSignal): Promise<EngineRow[]>;
  migrate(ask: MigrateAsk, caller: Caller): Promise<Migrated | WhyNot>;
  /** Any other question, by the name that it has on that node's own socket. @throws TeselaError what that node says */
  question(what: string, body: unknown, caller: Caller, signal?: AbortSignal): Promise<unknown>;
  /** The entries of its record; none when it has this digest. They are to be verified. */
  record(digest: string, signal: AbortSignal): Promise<unknown[]>;
  /** A certificate for the key of this request, PEM. @throws TeselaError E_MISSING, E_REFUSED */
  renew(csr: Uint8Array, signal: AbortSignal): Promise<string>;
  /** Has this node written down as one that has left. @throws TeselaError E_MISSING */
  leave(signal: AbortSignal): Promise<unknown[]>;
  /** Tells what is new about the membership. */
  news(entries: readonly Entry[]): void;
  close(): void;
  /** Resolves when the stream is closed, by whomever. */
  readonly closed: Promise<unknown>;
}

/** Opens a control stream. @throws TeselaError E_LINK, E_VERSION, E_PROTOCOL */
export type DialPeer = (peer: Peer, signal: AbortSignal) => Promise<PeerControl>;
