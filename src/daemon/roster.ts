import { type Log, type Paths, TeselaError, toTeselaError } from "../base/mod.ts";
import {
  type ClusterCa,
  type Entry,
  loadCa,
  type MemberRecord,
  mustBelong,
  readRecord,
  signEntry,
  type Standing,
  writeRecord,
  writeWhole,
} from "../cluster/mod.ts";
import { type NodeConfig, type Peer, readPeers, Watched, writePeers } from "./config.ts";

/** A node that no entry is known of has some key; nobody compares that of one that is no member. */
const NO_KEY = "A".repeat(43);

/** Who belongs to the cluster, as this node knows it: `membership.json` and what follows from it for `peers.json`. */
export class Roster {
  readonly record: MemberRecord;
  private readonly paths: Paths;
  private readonly log: Log;
  private readonly file: Watched;
  private rows: readonly Peer[] = [];
  /** Called with what is new, when it is written down. */
  onNews: (news: readonly Entry[]) => void = () => undefined;
  /** Called when there is somebody in `peers.json` who was not, or not there. */
  onPeers: () => void = () => undefined;

  /** @throws E_CONFIG */
  constructor(paths: Paths, cluster: string, ca: string, log: Log) {
    this.paths = paths;
    this.log = log;
    this.file = new Watched(paths.peersJson);
    this.record = readRecord(paths, cluster, ca);
    this.apply(this.record.all(), new Set());
  }

  /**
   * What another node's record says; takes over what is newer and signed by the CA.
   * @returns what is new here
   */
  merge(entries: readonly unknown[], from: string): Entry[] {
    const known = this.known();
    const news = this.record.merge(entries, (e) =>
      this.log.warn("what is said of the membership is not believed", { from, error: e.message }),
    );
    if (news.length === 0) return [];
    this.keep(news, known);
    return news;
  }

  /** Says something new of a node, with the CA's key. @throws E_MISSING when that key is not on this node */
  say(node: Peer & { readonly key?: string }, standing: Standing): Entry {
    const ca = this.ca();
    const old = this.record.get(node.id);
    const { id, name, address, port } = node;
    const key = node.key ?? old?.key ?? NO_KEY;
    const entry = signEntry(ca, { id, name, address, port, key, standing, epoch: (old?.epoch ?? 0) + 1 });
    const known = this.known();
    this.keep(this.record.merge([entry]), known);
    return entry;
  }

  /** Without a peer's row: the node as its entry has it, or as `peers.json` does. @throws E_NONODE */
  find(text: string): Peer {
    const all: readonly Peer[] = [...this.readPeers(), ...this.record.all()];
    const found = all.find((p) => String(p.id) === text || p.name === text || p.address === text);
    if (found === undefined) throw new TeselaError("E_NONODE", `there is no node ${text}`);
    return found;
  }

  /** Of a node that is out the key says nothing any more: not by this program. @throws E_MISSING, E_REFUSED, E_CONFIG, E_IDENTITY */
  ca(): ClusterCa {
    mustBelong(this.paths, this.record);
    try {
      return loadCa(this.paths.identity);
    } catch (e) {
      if (!(e instanceof TeselaError && e.code === "E_CONFIG" && (e.cause as NodeJS.ErrnoException | undefined)?.code === "ENOENT"))
        throw e;
      throw new TeselaError("E_MISSING", "this node does not hold the cluster's CA key (identity/ca.key): ask a node that does");
    }
  }

  /** The nodes and where they are, as `peers.json` has them. */
  peers(): readonly Peer[] {
    if (this.file.changed()) this.rows = this.readPeers();
    return this.rows;
  }

  /** Nothing is known against it. */
  mayBe(id: number): boolean {
    return (this.record.get(id)?.standing ?? "member") === "member";
  }

  /** A node has proven where it is. */
  found(at: Peer): void {
    if (!this.mayBe(at.id)) return;
    const rows = new Map(this.readPeers().map((p) => [p.id, p]));
    rows.set(at.id, { ...at, name: this.freeName(rows.get(at.id)?.name ?? at.name, at.id, rows) });
    this.writePeers(rows);
    this.onPeers();
  }

  /** This node has another address. */
  moved(config: NodeConfig, address: string): void {
    const rows = new Map(this.readPeers().map((p) => [p.id, p]));
    const { id, name, port, cluster } = config;
    rows.set(id, { id, name, port, address });
    this.writePeers(rows);
    writeWhole(this.paths.nodeJson, { id, name, address, port, cluster });
  }

  private writePeers(rows: ReadonlyMap<number, Peer>): void {
    writePeers(
      this.paths,
      [...rows.values()].sort((a, b) => a.id - b.id),
    );
  }

  private known(): Set<number> {
    return new Set(this.record.all().map((e) => e.id));
  }

  private keep(news: readonly Entry[], known: ReadonlySet<number>): void {
    writeRecord(this.paths, this.record);
    for (const { id: node, name, standing } of news)
      this.log.info(`node ${node} is a ${standing === "member" ? "member" : "former member"} now`, { node, name, standing });
    this.apply(news, known);
    this.onNews(news);
    // Who is out is told so first, over the streams that there still are.
    if (news.every((e) => e.standing === "member")) this.onPeers();
  }

  /**
   * Rows of `peers.json` follow from entries. A row that is there may be fresher than an entry, unless that one takes the place of another.
   * @param known nodes that there were entries of before
   */
  private apply(entries: readonly Entry[], known: ReadonlySet<number>): void {
    if (entries.length === 0) return;
    const rows = new Map(this.readPeers().map((p) => [p.id, p]));
    const before = JSON.stringify([...rows.values()]);
    for (const { id, name, address, port, standing } of entries) {
      if (standing !== "member") rows.delete(id);
      else if (known.has(id) || !rows.has(id)) rows.set(id, { id, name: this.freeName(name, id, rows), address, port });
    }
    if (JSON.stringify([...rows.values()]) !== before) this.writePeers(rows);
  }

  private readPeers(): Peer[] {
    try {
      return readPeers(this.paths);
    } catch (e) {
      this.log.error("the list of nodes is made anew from the membership", { error: toTeselaError(e).message });
      return this.record.all().filter((e) => e.standing === "member");
    }
  }

  /** Two nodes that hold the CA's key may have given the same name at the same time. */
  private freeName(name: string, id: number, rows: ReadonlyMap<number, Peer>): string {
    return [...rows.values()].some((p) => p.id !== id && p.name === name) ? `n${id}` : name;
  }
}
