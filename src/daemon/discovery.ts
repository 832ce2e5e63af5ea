import { networkInterfaces } from "node:os";
import { type Log, type Paths, toTeselaError } from "../base/mod.ts";
import {
  type Announcement,
  Announcer,
  DISCOVERY_DEFAULTS,
  discoveryFile,
  type DiscoverySettings,
  type Keyring,
  MAX_ADDRESSES,
  readDiscovery,
  Watched,
} from "../cluster/mod.ts";
import { type CallInterface, type Caller, MulticastCaller, type Random, shuffle } from "../io/mod.ts";
import type { NodeConfig, Peer } from "./config.ts";
import type { Roster } from "./roster.ts";

/** Organization-local multicast (RFC 2365), and the port beside gossip's 5428. */
export const GROUP = "239.192.70.28";
export const DISCOVERY_PORT = 5429;

/** Calls come each second after a start, a change of address, and while nobody else is up; and then rarely. */
const EAGER_TICKS = 10;
const CALM_TICKS = 30;
/** In each eager second some known nodes are told directly, for networks where multicast does not pass. */
const TOLD = 4;
/** So many of all nodes answer one that has just begun: it learns of the rest from them. */
const ANSWERS = 8;
/** Nodes that are being asked for their certificates at a time. */
const MAX_PROVING = 16;
/** How long a node may take to prove itself at a new place; one said to be up has so long to answer where it is known to be. */
const PROVE_MS = 3000;
const STILL_THERE_MS = 1000;

interface Parts {
  readonly paths: Paths;
  readonly config: NodeConfig;
  readonly roster: Roster;
  readonly keys: () => Keyring;
  readonly caller: Caller;
  readonly random: Random;
  /** Whether a node is said to be up: by others too, who may know of another place of it. */
  readonly isUp: (id: number) => boolean;
  /** Resolves when the node there has proven by its certificate to be that one; fails after so many milliseconds. */
  readonly prove: (at: Peer, ms: number) => Promise<void>;
  readonly log: Log;
  /** What interfaces there are; the system's unless given. */
  readonly interfaces?: () => CallInterface[];
}

/** A node that was heard, for `tesela discover`. */
export interface HeardRow {
  readonly id: number;
  readonly name: string;
  readonly address: string;
  readonly agoMs: number;
}

/** Finds other nodes and is found by them, also when addresses change: sealed calls over multicast, and to seeds. */
export class Discovery {
  private readonly p: Parts;
  private readonly announcer: Announcer;
  private readonly file: Watched;
  private readonly rows = new Map<number, Omit<HeardRow, "agoMs"> & { readonly at: number }>();
  private settings: DiscoverySettings = DISCOVERY_DEFAULTS;
  private addresses = "";
  private readonly proving = new Set<number>();
  private ticks = 0;
  private eagerUntil = EAGER_TICKS;

  constructor(parts: Parts) {
    this.p = parts;
    this.announcer = new Announcer(parts.keys, parts.random);
    this.file = new Watched(discoveryFile(parts.paths));
    parts.caller.onHeard((bytes, from) => this.hear(bytes, from));
  }

  /** Once a second. */
  tick(): void {
    this.readSettings();
    const interfaces = this.interfaces();
    this.followAddresses(interfaces);
    this.p.caller.use(this.settings.on ? interfaces : [], this.settings.ttl);
    const tick = this.ticks++;
    if (!this.settings.on) return;
    const others = this.p.roster.peers().filter((o) => o.id !== this.p.config.id);
    const eager = tick < this.eagerUntil || !others.some((o) => this.p.isUp(o.id));
    // A new socket is ready a moment later.
    if (tick === 0 || !(eager || tick % CALM_TICKS === this.p.config.id % CALM_TICKS)) return;
    const bytes = this.announcer.seal(this.announcement(interfaces));
    this.p.caller.call(bytes);
    const told = eager ? shuffle(this.p.random, others).slice(0, TOLD) : [];
    for (const address of new Set([...this.settings.seeds, ...told.map((o) => o.address)])) this.p.caller.tell(address, bytes);
  }

  /** Neither calls nor hears any more. */
  rest(): void {
    this.p.caller.onHeard(() => undefined);
    this.p.caller.use([], this.settings.ttl);
  }

  /** A node has shown by its certificate that it calls from that address. */
  met(peer: { readonly node: number; readonly name: string }, address: string): void {
    const known = this.p.roster.peers().find((o) => o.id === peer.node);
    this.see({ id: peer.node, name: peer.name, address, port: known?.port ?? this.p.config.port }, [address]);
  }

  /** Those that were heard of late. */
  heard(): HeardRow[] {
    const now = performance.now();
    return [...this.rows.values()].map(({ at, ...row }) => ({ ...row, agoMs: Math.round(now - at) })).sort((a, b) => a.id - b.id);
  }

  private hear(bytes: Buffer, from: string): void {
    if (!this.settings.on) return;
    const heard = this.announcer.open(bytes, this.p.config.cluster);
    if (heard === null) return;
    const { id, name, port, addresses } = heard.announcement;
    this.rows.set(id, { id, name, address: from, at: performance.now() });
    if (id === this.p.config.id) {
      this.p.log.error("another machine says that it is this node: a copied identity?", { from });
      return;
    }
    this.see({ id, name, address: from, port }, addresses);
    const some = ANSWERS / Math.max(1, this.p.roster.peers().length);
    if (heard.fresh && this.p.random.float() < some) {
      this.p.caller.tell(from, this.announcer.seal(this.announcement(this.interfaces())));
    }
  }

  /**
   * Somebody says that a node is there. It counts when the node has proven itself there, and does not answer where it was known to be: an old
   * announcement that is sent again, or one of a former member who still has the cluster's key, leads nobody astray.
   */
  private see(at: Peer, addresses: readonly string[]): void {
    const { roster, log } = this.p;
    const known = roster.peers().find((o) => o.id === at.id);
    if (known !== undefined && addresses.includes(known.address) && known.port === at.port) return;
    if (!roster.mayBe(at.id) || this.proving.has(at.id) || this.proving.size >= MAX_PROVING) return;
    this.proving.add(at.id);
    this.follow(at, known)
      .catch((e: unknown) =>
        log.debug("a node is not where it is said to be", { node: at.id, address: at.address, error: toTeselaError(e).message }),
      )
      .finally(() => this.proving.delete(at.id));
  }

  private async follow(at: Peer, known: Peer | undefined): Promise<void> {
    const { roster, isUp, log, prove } = this.p;
    // Others may have found it there first, and told that it is up: where this node looks for it, it need not be.
    const still = known !== undefined && isUp(at.id) ? prove(known, STILL_THERE_MS) : Promise.reject(new Error("it is not up"));
    const [there, here] = await Promise.allSettled([still, prove(at, PROVE_MS)]);
    if (there.status === "fulfilled") return;
    if (here.status === "rejected") throw here.reason;
    roster.found(at);
    const { id: node, name, address } = at;
    log.info(known === undefined ? "a node was found" : "a node has another address", { node, name, address, was: known?.address });
  }

  private announcement(interfaces: readonly CallInterface[]): Announcement {
    const { id, name, cluster, port } = this.p.config;
    // Its own row first: that may be a name, or what a router makes of its address.
    const addresses = [...new Set([this.ownAddress(), ...interfaces.map((i) => i.address)])].slice(0, MAX_ADDRESSES);
    return { id, name, cluster, port, addresses };
  }

  private ownAddress(): string {
    const { config, roster } = this.p;
    return roster.peers().find((o) => o.id === config.id)?.address ?? config.address;
  }

  private interfaces(): CallInterface[] {
    const all = (this.p.interfaces ?? systemInterfaces)();
    const { interfaces } = this.settings;
    return interfaces === null ? all : all.filter((i) => interfaces.includes(i.name));
  }

  /** When this machine's addresses change, it is told soon; its own row follows. */
  private followAddresses(interfaces: readonly CallInterface[]): void {
    const now = interfaces.map((i) => i.address).join(" ");
    if (now === this.addresses) return;
    this.addresses = now;
    this.eagerUntil = this.ticks + EAGER_TICKS;
    const { config, roster, log } = this.p;
    const own = this.ownAddress();
    const [first] = interfaces;
    // A host name, or an address that the node was given, is not for us to change; nor one of an interface that no calls are made on.
    const given = config.fixed || !/^[\d.]+$/.test(own) || own.startsWith("127.");
    if (first === undefined || given || (this.p.interfaces ?? systemInterfaces)().some((i) => i.address === own)) return;
    log.info("this node has another address", { was: own, address: first.address });
    roster.moved(config, first.address);
  }

  private readSettings(): void {
    if (!this.file.changed()) return;
    try {
      this.settings = readDiscovery(this.p.paths);
      this.eagerUntil = this.ticks + EAGER_TICKS;
    } catch (e) {
      this.p.log.error("discovery goes on as it was", { error: toTeselaError(e).message });
    }
  }
}

/**
 * Discovery over multicast, until the stack ends. Null where that cannot be, which the log tells: the node then has the peers that it knows.
 */
export async function openDiscovery(parts: Omit<Parts, "caller">, open: AsyncDisposableStack): Promise<Discovery | null> {
  const { log } = parts;
  try {
    const skipped = (address: string, error: string): void => log.warn("no calls to find others from here", { address, error });
    return new Discovery({ ...parts, caller: open.use(await MulticastCaller.open(GROUP, DISCOVERY_PORT, skipped)) });
  } catch (e) {
    log.warn("other nodes are not looked for", { error: toTeselaError(e).message });
    return null;
  }
}

function systemInterfaces(): CallInterface[] {
  return Object.entries(networkInterfaces()).flatMap(([name, list]) =>
    (list ?? []).flatMap((a) => (a.family === "IPv4" && !a.internal ? [{ name, address: a.address }] : [])),
  );
}
