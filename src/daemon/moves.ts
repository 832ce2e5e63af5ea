import { type NodeId, nodeId, type Pid, parseCpid, TeselaError, toTeselaError } from "../base/mod.ts";
import { authorize, authorizeTrace, type Caller } from "./authorize.ts";
import type { EngineClient } from "./engine-client.ts";
import { type Member, type Members, nodeDown } from "./members.ts";
import type { Levelled } from "./levelled.ts";
import { maskText, parseMask } from "./node-mask.ts";
import { isSystem } from "./system.ts";
import { closedBy, closedText } from "./verbs.ts";
import type { MigrateAsk, Migrated, RunAnswer, RunAsk, TraceAsk, Traced, WhyNot } from "./shapes.ts";

/** openMosix's word for it. */
const SYSTEM = "system";
/** Its own list of nodes does not have the target (`tesela run --nodes`). */
const MASKED = "mask";
const LOCKED = "lock";
/** The target takes no guests (`tesela ctl block`, `quiet`). */
const BLOCKED = "blocked";
/** Sessions that were left without a word are forgotten from the oldest on. */
const MAX_TRACERS = 256;

/** What was said of a process as it was started, or since. */
export type Said = Pick<Levelled, "isLocked" | "hints">;
/** What flags a node has told, also by what it has answered since it was last heard of. */
export type Flags = (member: Member) => readonly string[];
/** A move by hand has been done. */
export type Noted = (pid: number, from: number, to: number, why: string) => void;

/** What is asked of moves, checked: who may, which process, which node. The engine does them. */
export class Moves {
  private readonly self: NodeId;
  private readonly name: string;
  private readonly members: Members;
  private readonly engine: EngineClient;
  private readonly said: Said;
  private readonly noted: Noted;
  private readonly flags: Flags;
  /** Whose each session of a trace is, so that its last lines can be told when the process is gone. */
  private readonly tracers = new Map<string, number>();

  constructor(
    self: { id: number; name: string },
    members: Members,
    engine: EngineClient,
    said: Said,
    noted: Noted = () => undefined,
    flags: Flags = (member) => member.status?.flags ?? [],
  ) {
    this.self = nodeId(self.id);
    this.name = self.name;
    this.members = members;
    this.engine = engine;
    this.said = said;
    this.noted = noted;
    this.flags = flags;
  }

  /** By hand. @throws TeselaError */
  async migrate(ask: MigrateAsk, caller: Caller): Promise<Migrated | WhyNot> {
    const { home, pid } = readPid(ask.pid);
    if (home !== null && home !== this.self) {
      if (caller.via !== null) throw new TeselaError("E_PROTOCOL", `process ${ask.pid} is not of this node (${this.self})`);
      const control = this.members.control(home);
      // The message for moves has no word for force.
      return ask.force ? ((await control.question("POST /migrate", ask, caller)) as Migrated | WhyNot) : await control.migrate(ask, caller);
    }
    authorize(caller, pid);
    const done = await this.move(pid, ask, caller.uid);
    if ("to" in done) this.noted(pid, done.from, done.to, commandText(done.to, this.self, caller));
    return done;
  }

  /** One of this node's own processes is moved by the node where it runs, which decides that by itself; what was said of it is said here. */
  async carry(ask: MigrateAsk, caller: Caller): Promise<Migrated | WhyNot> {
    const { home, pid } = readPid(ask.pid);
    if (home !== this.self) throw new TeselaError("E_PROTOCOL", `process ${ask.pid} is not of this node (${this.self})`);
    authorize(caller, pid);
    if (this.said.isLocked(pid)) throw new TeselaError("E_CANTMOVE", `process ${pid} moves only when told to`, { pid, reasons: [LOCKED] });
    return await this.move(pid, { ...ask, force: false, why: false }, caller.uid);
  }

  private async move(pid: Pid, ask: MigrateAsk, uid: number): Promise<Migrated | WhyNot> {
    const to = this.target(ask.target);
    if (await this.isSystem(pid)) {
      if (ask.why) return { pid, reasons: [SYSTEM] };
      throw new TeselaError("E_CANTMOVE", `process ${pid} is one that this node itself stands on: it stays`, { pid, reasons: [SYSTEM] });
    }
    const where = await this.whereIs(pid);
    if (to === where) {
      const place = to === this.self ? "at home" : `on node ${to}`;
      throw new TeselaError("E_THERE", `process ${pid} is ${place} already`, { pid, node: to });
    }
    const masked = ask.force ? null : this.masked(pid, to);
    if (masked && ask.why) return { pid, reasons: [MASKED], message: `${masked.message}; --force moves it there all the same` };
    if (masked) throw masked;
    const closed = to === this.self ? null : this.closed(to);
    if (closed && ask.why) return { pid, reasons: [BLOCKED], message: closed.message };
    const what = { pid, target: to === this.self ? ("home" as const) : to, uid };
    if (ask.why) return await this.engine.why(what);
    try {
      return await this.engine.migrate(what);
    } catch (e) {
      // The node's own word counts, for it may have been told otherwise since; by which flag it refuses, its engine does not know.
      if (closed && toTeselaError(e).code === "E_REFUSED") throw closed;
      throw e;
    }
  }

  /** @throws TeselaError */
  async run(ask: RunAsk, caller: Caller): Promise<RunAnswer> {
    const { pid } = readPid(String(ask.pid));
    authorize(caller, pid);
    const to = ask.target === null ? this.self : this.target(ask.target);
    if (to === this.self) return { pid, target: null };
    const closed = this.masked(pid, to, ask.hints?.mask) ?? this.closed(to);
    if (closed) throw closed;
    return await this.engine.run({ pid, target: to, uid: caller.uid, ...(ask.execs !== undefined && { execs: ask.execs }) });
  }

  /** Calls are told where the process is at home, which knows whose it is. @throws TeselaError */
  async trace(ask: TraceAsk, caller: Caller): Promise<Traced> {
    const { home, pid } = readPid(ask.pid);
    if (home !== null && home !== this.self) {
      throw new TeselaError("E_USAGE", `process ${ask.pid} has another home node: trace it there`, { pid: ask.pid, node: home });
    }
    try {
      authorizeTrace(caller, pid);
    } catch (e) {
      const own = ask.session !== null && this.tracers.get(ask.session) === caller.uid;
      if (!own || toTeselaError(e).code !== "E_NOENT_PID") throw e;
    }
    const answer = await this.engine.trace({ pid, session: ask.session, close: ask.close === true });
    if (answer.ended || ask.close) this.tracers.delete(answer.session);
    else this.tracers.set(answer.session, caller.uid);
    if (this.tracers.size > MAX_TRACERS) this.tracers.delete(this.tracers.keys().next().value as string);
    return answer;
  }

  /** What a node says that takes no guests now, as far as it has told. */
  private closed(node: NodeId): TeselaError | null {
    const member = this.members.find(String(node));
    const flag = member && closedBy(this.flags(member));
    return flag === undefined ? null : new TeselaError("E_REFUSED", closedText(node, flag), { node, flag });
  }

  /** A node that is up, by number, name or address; `home` is this one. */
  private target(text: string): NodeId {
    if (text === "home" || text === String(this.self) || text === this.name) return this.self;
    const member = this.members.find(text);
    if (!member) throw new TeselaError("E_NONODE", `there is no node '${text}'`, { node: text });
    if (member.state === "down") throw nodeDown(member.peer);
    return nodeId(member.peer.id);
  }

  /** Whether a process may be sent to a node; home it may always come. */
  private masked(pid: Pid, to: NodeId, mask = this.said.hints(pid).mask): TeselaError | null {
    if (to === this.self || mask === undefined || parseMask(mask).allows(to)) return null;
    const message = `process ${pid} may be sent to ${maskText(mask)}, not to node ${to}`;
    return new TeselaError("E_CANTMOVE", message, { pid, reasons: [MASKED], hint: "--force" });
  }

  private async isSystem(pid: Pid): Promise<boolean> {
    return isSystem(pid, [process.pid, (await this.engine.status()).pid]);
  }

  private async whereIs(pid: Pid): Promise<number> {
    const rows = await this.engine.processes();
    return rows.find((r) => r.role === "home" && r.pid === pid)?.node ?? this.self;
  }
}

function commandText(to: number, self: number, { uid, via }: Caller): string {
  const where = to === self ? `goes home to node ${to}` : `moves to node ${to}`;
  return `${where}: told to by user ${uid}${via === null ? "" : ` of node ${via}`}`;
}

/** @throws TeselaError E_USAGE */
export function readPid(text: string): { home: NodeId | null; pid: Pid } {
  try {
    return parseCpid(text);
  } catch (cause) {
    throw new TeselaError("E_USAGE", (cause as Error).message, {}, { cause });
  }
}
