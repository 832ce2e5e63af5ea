import { MiB, type NodeId, TeselaError, toTeselaError } from "../base/mod.ts";
import type { Entry } from "../cluster/mod.ts";
import type { Channel } from "../io/mod.ts";
import type { Data, Head, Message } from "../wire/mod.ts";
import type { Caller } from "./authorize.ts";
import { isErrorShape } from "./client.ts";
import { KEYS } from "./key-exchange.ts";
import type { NodeStatus, PeerControl } from "./peer.ts";
import type { EngineRow, MigrateAsk, Migrated, WhyNot } from "./shapes.ts";

/** Rows of a node, as JSON. */
export const MAX_ROWS = 15 * MiB;
/** Questions without an answer on one stream; a peer that goes on asking is cut off. */
export const MAX_PENDING = 256;

/** What a teselad does for the others. */
export interface ControlService {
  status(): NodeStatus;
  processes(): Promise<EngineRow[]>;
  migrate(ask: MigrateAsk, caller: Caller): Promise<Migrated | WhyNot>;
  /** Any other question, by the name that it has on the node's own socket. */
  ask(what: string, body: unknown, caller: Caller): Promise<unknown>;
  readonly belonging: BelongingService;
}

/** What it does about who belongs to the cluster. The asking node is who its certificate says. */
export interface BelongingService {
  /** All entries, or none when the digest is that of this node's record. */
  record(digest: string | undefined): readonly Entry[];
  news(entries: readonly unknown[], from: NodeId): void;
  /** The gossip key, both ways. */
  keys(body: unknown, from: NodeId): unknown;
  renew(node: NodeId, csr: Buffer): Promise<string>;
  leave(node: NodeId): Entry;
}

/** Answers the questions of one peer until its stream ends. */
export function serveControl(channel: Channel, service: ControlService): void {
  const { node } = channel.peer;
  let pending = 0;
  const answer = (seq: number, work: () => Promise<void>): void => {
    if (++pending > MAX_PENDING) throw new TeselaError("E_PROTOCOL", `node ${channel.peer.node} has ${pending} questions open`);
    work()
      .catch((e: unknown) => fail(channel, seq, e))
      .finally(() => pending--);
  };
  channel.onMessage((m) => {
    switch (m.type) {
      case "ctlStatusAsk":
        channel.send("ctlStatus", { seq: m.head.seq, ...service.status() });
        return;
      case "ctlProcessesAsk": {
        const { seq } = m.head;
        return answer(seq, async () => void channel.send("ctlProcesses", { seq }, rowsJson(await service.processes())));
      }
      case "ctlMigrate": {
        const { seq, uid, gid, pid, target, why } = m.head;
        const caller: Caller = { uid, gid, via: channel.peer.node };
        return answer(seq, async () => {
          channel.send("ctlMigrated", { seq }, json(await service.migrate({ pid, target, why }, caller)));
        });
      }
      case "ctlAsk": {
        const { seq, uid, gid, what } = m.head;
        const caller: Caller = { uid, gid, via: channel.peer.node };
        return answer(seq, async () => {
          const body = parse(m.payload, node);
          // A node's question, not a caller's: what its answer says is for nodes only.
          const said = what === KEYS ? service.belonging.keys(body, node) : await service.ask(what, body, caller);
          channel.send("ctlAnswer", { seq }, json(said));
        });
      }
      case "ctlRecordAsk": {
        const { seq, digest } = m.head;
        channel.send("ctlRecord", { seq }, rowsJson(service.belonging.record(digest)));
        return;
      }
      case "ctlNews":
        return service.belonging.news(listOf(m.payload, node), node);
      case "ctlRenew": {
        const { seq } = m.head;
        return answer(
          seq,
          async () => void channel.send("ctlRenewed", { seq }, Buffer.from(await service.belonging.renew(node, m.payload))),
        );
      }
      case "ctlLeave": {
        const { seq } = m.head;
        return answer(seq, async () => void channel.send("ctlRecord", { seq }, json([service.belonging.leave(node)])));
      }
      default:
        throw new TeselaError("E_PROTOCOL", `'${m.type}' does not belong on a control stream`);
    }
  });
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

function rowsJson(rows: readonly unknown[]): Buffer {
  const bytes = json(rows);
  if (bytes.length > MAX_ROWS)
    throw new TeselaError("E_INTERNAL", `${rows.length} rows make ${bytes.length} bytes, ${MAX_ROWS} is the limit`);
  return bytes;
}

function fail(channel: Channel, seq: number, e: unknown): void {
  const { error, message, ...details } = toTeselaError(e).toJSON();
  const head: Head<"ctlFailed"> = { seq, error, message: message.slice(0, 1000) };
  channel.send("ctlFailed", Object.keys(details).length === 0 ? head : { ...head, details: details as Data });
}

type Answer = Extract<Message, { type: "ctlStatus" | "ctlProcesses" | "ctlMigrated" | "ctlAnswer" | "ctlRecord" | "ctlRenewed" }>;
interface Waiting {
  readonly want: Answer["type"];
  readonly resolve: (answer: Answer) => void;
  readonly reject: (e: unknown) => void;
}

/** The asking side of a control stream. */
export class ChannelPeer implements PeerControl {
  private readonly channel: Channel;
  private readonly waiting = new Map<number, Waiting>();
  private seq = 0;
  /** Why there will be no more answers. */
  private ended: unknown = null;
  readonly node: number;
  readonly closed: Promise<unknown>;

  constructor(channel: Channel) {
    this.channel = channel;
    this.node = channel.peer.node;
    this.closed = channel.closed;
    channel.onMessage((m) => this.receive(m));
    channel.closed.then((reason) =>
      this.rejectAll(reason ?? new TeselaError("E_LINK", `node ${channel.peer.node} closed its control stream`)),
    );
  }

  async status(signal: AbortSignal): Promise<NodeStatus> {
    const answer = await this.ask("ctlStatus", (seq) => this.channel.send("ctlStatusAsk", { seq }), signal);
    const { seq: _, ...status } = answer.head as Head<"ctlStatus">;
    return status;
  }

  async processes(signal: AbortSignal): Promise<EngineRow[]> {
    const answer = await this.ask("ctlProcesses", (seq) => this.channel.send("ctlProcessesAsk", { seq }), signal);
    return listOf(answer.payload, this.channel.peer.node) as EngineRow[];
  }

  async migrate(ask: MigrateAsk, caller: Caller): Promise<Migrated | WhyNot> {
    const { uid, gid } = caller;
    const head = { pid: ask.pid, target: ask.target, why: ask.why ?? false, uid, gid };
    const answer = await this.ask("ctlMigrated", (seq) => this.channel.send("ctlMigrate", { seq, ...head }));
    return parse(answer.payload, this.channel.peer.node) as Migrated | WhyNot;
  }

  async question(what: string, body: unknown, caller: Caller, signal?: AbortSignal): Promise<unknown> {
    const { uid, gid } = caller;
    const answer = await this.ask("ctlAnswer", (seq) => this.channel.send("ctlAsk", { seq, what, uid, gid }, json(body)), signal);
    return parse(answer.payload, this.channel.peer.node);
  }

  async record(digest: string, signal: AbortSignal): Promise<unknown[]> {
    const answer = await this.ask("ctlRecord", (seq) => this.channel.send("ctlRecordAsk", { seq, digest }), signal);
    return listOf(answer.payload, this.channel.peer.node);
  }

  async renew(csr: Uint8Array, signal: AbortSignal): Promise<string> {
    const answer = await this.ask("ctlRenewed", (seq) => this.channel.send("ctlRenew", { seq }, csr), signal);
    return answer.payload.toString("utf8");
  }

  async leave(signal: AbortSignal): Promise<unknown[]> {
    const answer = await this.ask("ctlRecord", (seq) => this.channel.send("ctlLeave", { seq }), signal);
    return listOf(answer.payload, this.channel.peer.node);
  }

  news(entries: readonly Entry[]): void {
    this.channel.send("ctlNews", {}, json(entries));
  }

  close(): void {
    this.channel.close();
  }

  private ask(want: Answer["type"], send: (seq: number) => void, signal?: AbortSignal): Promise<Answer> {
    const seq = this.seq++ >>> 0;
    return new Promise<Answer>((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      if (this.ended !== null) return reject(this.ended);
      const abort = (): void => {
        this.waiting.delete(seq);
        reject(new TeselaError("E_TIMEOUT", `node ${this.channel.peer.node} did not answer in time`, {}, { cause: signal?.reason }));
      };
      const done = (): void => signal?.removeEventListener("abort", abort);
      signal?.addEventListener("abort", abort, { once: true });
      this.waiting.set(seq, {
        want,
        resolve: (answer) => {
          done();
          resolve(answer);
        },
        reject: (e) => {
          done();
          reject(e);
        },
      });
      send(seq);
    });
  }

  private receive(m: Message): void {
    const seq = m.head !== null && "seq" in m.head ? m.head.seq : -1;
    const waiting = this.waiting.get(seq);
    // Nobody waits any more for what came too late.
    if (!waiting) return;
    this.waiting.delete(seq);
    if (m.type === waiting.want) {
      waiting.resolve(m as Answer);
      return;
    }
    if (m.type !== "ctlFailed") throw new TeselaError("E_PROTOCOL", `'${m.type}' where '${waiting.want}' belongs`);
    const { error, message, details } = m.head;
    const shape = { ...(isRecord(details) ? details : {}), error, message };
    waiting.reject(isErrorShape(shape) ? TeselaError.from(shape) : new TeselaError("E_PROTOCOL", "an error without a name"));
  }

  private rejectAll(reason: unknown): void {
    this.ended = reason;
    for (const w of this.waiting.values()) w.reject(reason);
    this.waiting.clear();
  }
}

const isRecord = (v: unknown): v is Record<string, unknown> => typeof v === "object" && v !== null && !Array.isArray(v);

function listOf(payload: Buffer, node: number): unknown[] {
  const list = parse(payload, node);
  if (!Array.isArray(list)) throw new TeselaError("E_PROTOCOL", `node ${node} sent something else than a list`);
  return list;
}

function parse(payload: Buffer, node: number): unknown {
  try {
    return JSON.parse(payload.toString("utf8"));
  } catch (cause) {
    throw new TeselaError("E_PROTOCOL", `node ${node} sent what is not JSON`, {}, { cause });
  }
}
