import { randomUUID } from "node:crypto";
import { syscallName } from "../abi/mod.ts";
import { TeselaError } from "../base/mod.ts";
import { proc } from "../sys/mod.ts";
import type { Data } from "../wire/mod.ts";

/**
 * Who watches the calls of this node's processes while they are away (`tesela trace`). A watcher asks again and again for what has come;
 * one that does not is forgotten, and when nobody watches a process, its guest writes nothing down.
 */

/** A call of a process that was away. */
export interface TraceLine {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Where it ran. */
  readonly node: number;
  readonly nr: number;
  readonly name: string;
  readonly args: readonly string[];
  readonly result: string;
  readonly route: string;
  /** Milliseconds in all, and those of them that home's kernel took. */
  readonly ms: number;
  readonly homeMs: number;
}

export interface TraceAnswer {
  readonly session: string;
  readonly lines: readonly TraceLine[];
  /** Calls that came too fast. */
  readonly lost: number;
  /** Where the process runs now. */
  readonly node: number;
  readonly ended: boolean;
}

/** An answer with nothing in it is given after this long; who does not ask for so much longer is gone. */
const WAIT_MS = 1000;
const FORGET_MS = 5000;
const MAX_LINES = 8192;
/** One answer has at most so many. */
const MAX_ANSWER_LINES = 512;
const MAX_SESSIONS = 64;

interface Session {
  readonly id: string;
  readonly pid: number;
  readonly startTime: bigint;
  lines: TraceLine[];
  lost: number;
  wake: (() => void) | null;
  expires: NodeJS.Timeout | null;
}

/** How long home's kernel took for each call of a watched process, until the call's line comes. */
export class HomeTimes {
  private readonly begun = new Map<number, number>();
  private readonly spent = new Map<number, number>();

  began(seq: number): void {
    this.begun.set(seq, performance.now());
  }
  ended(seq: number): void {
    const start = this.begun.get(seq);
    this.begun.delete(seq);
    if (this.spent.size >= MAX_LINES) this.spent.clear();
    if (start !== undefined) this.spent.set(seq, performance.now() - start);
  }
  take(seqs: readonly number[]): number {
    let sum = 0;
    for (const seq of seqs) {
      sum += this.spent.get(seq) ?? 0;
      this.spent.delete(seq);
    }
    return sum;
  }
}

export class Traces {
  private readonly sessions = new Map<string, Session>();
  /** Told when the first one watches a process, and when the last one does no more. */
  private readonly changed: (pid: number, watched: boolean) => void;
  private readonly nodeOf: (pid: number) => number;

  constructor(changed: (pid: number, watched: boolean) => void, nodeOf: (pid: number) => number) {
    this.changed = changed;
    this.nodeOf = nodeOf;
  }

  watched(pid: number): boolean {
    for (const s of this.sessions.values()) if (s.pid === pid) return true;
    return false;
  }

  /** What has come since the last time, waiting a while for something. @throws TeselaError E_NOENT_PID, E_USAGE, E_BUSY */
  async poll(pid: number, id: string | null, close: boolean): Promise<TraceAnswer> {
    const session = id === null ? this.open(pid) : this.sessions.get(id);
    if (session?.pid !== pid) throw new TeselaError("E_USAGE", `nobody of that name watches process ${pid}: begin again`);
    if (session.expires) clearTimeout(session.expires);
    session.expires = null;
    if (close) {
      this.close(session);
      return this.answer(session, false);
    }
    // The first answer tells at once that it is watched from now on.
    if (id !== null && session.lines.length === 0 && this.alive(session)) await this.more(session);
    const ended = !this.alive(session) && session.lines.length <= MAX_ANSWER_LINES;
    if (ended) this.close(session);
    else session.expires = setTimeout(() => this.close(session), FORGET_MS).unref();
    return this.answer(session, ended);
  }

  /** What a host says of its guest. */
  take(pid: number, node: number, calls: Data, lost: number, times: HomeTimes | null): void {
    for (const raw of Array.isArray(calls) ? calls : []) {
      const { nr, args, result, route, seqs, at, ms } = raw as Record<string, Data>;
      if (typeof nr !== "number" || !Array.isArray(args) || !Array.isArray(seqs)) throw new TeselaError("E_PROTOCOL", "no traced call");
      const line: TraceLine = {
        at: Number(at),
        node,
        nr,
        name: syscallName(nr),
        args: args.map(String),
        result: String(result),
        route: String(route),
        ms: micro(Number(ms)),
        homeMs: micro(times?.take(seqs.map(Number)) ?? 0),
      };
      this.deliver(pid, line);
    }
    for (const s of this.sessions.values()) if (s.pid === pid) s.lost += lost;
  }

  /** The process has ended: nobody needs to wait on. */
  gone(pid: number): void {
    for (const s of this.sessions.values()) if (s.pid === pid) s.wake?.();
  }

  private deliver(pid: number, line: TraceLine): void {
    for (const s of this.sessions.values()) {
      if (s.pid !== pid) continue;
      if (s.lines.length >= MAX_LINES) s.lost++;
      else s.lines.push(line);
      s.wake?.();
    }
  }

  private open(pid: number): Session {
    if (this.sessions.size >= MAX_SESSIONS) throw new TeselaError("E_BUSY", `${MAX_SESSIONS} watch processes of this node already`);
    let startTime: bigint;
    try {
      startTime = proc.readStat(pid).startTime;
    } catch (cause) {
      throw new TeselaError("E_NOENT_PID", `no process ${pid} on this node`, { pid }, { cause });
    }
    const session: Session = { id: randomUUID(), pid, startTime, lines: [], lost: 0, wake: null, expires: null };
    const first = !this.watched(pid);
    this.sessions.set(session.id, session);
    if (first) this.changed(pid, true);
    return session;
  }

  private close(session: Session): void {
    if (!this.sessions.delete(session.id)) return;
    if (session.expires) clearTimeout(session.expires);
    if (!this.watched(session.pid)) this.changed(session.pid, false);
  }

  private more(session: Session): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        session.wake = null;
        resolve();
      };
      const timer = setTimeout(done, WAIT_MS);
      session.wake = done;
    });
  }

  private alive({ pid, startTime }: Session): boolean {
    try {
      const stat = proc.readStat(pid);
      return stat.startTime === startTime && stat.state !== "Z";
    } catch {
      return false;
    }
  }

  private answer(session: Session, ended: boolean): TraceAnswer {
    const lines = session.lines.splice(0, MAX_ANSWER_LINES);
    const { lost } = session;
    session.lost = 0;
    return { session: session.id, lines, lost, node: this.nodeOf(session.pid), ended };
  }
}

/** Whole microseconds. */
const micro = (ms: number): number => Math.round(ms * 1000) / 1000;
