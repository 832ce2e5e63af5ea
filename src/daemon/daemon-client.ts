import type { Paths } from "../base/mod.ts";
import { ask, type Far } from "./client.ts";
import type { Entry } from "../cluster/mod.ts";
import type { ClockRow } from "./clocks.ts";
import type { HeardRow } from "./discovery.ts";
import type {
  BestAsk,
  ControlAsk,
  Controlled,
  DaemonStatus,
  Masked,
  MaskAsk,
  MigrateAsk,
  Migrated,
  NodeRow,
  ProcessRow,
  RoomAnswer,
  RoomAsk,
  RunAnswer,
  RunAsk,
  TraceAsk,
  Traced,
  WhyMoved,
  WhyNot,
} from "./shapes.ts";

const QUICK_MS = 10_000;
/** Nodes are asked one after the other until one can do it. */
const LEAVE_MS = 30_000;
/** Processes are moved home before. */
const EMPTY_MS = 600_000;

/** What the commands ask of the teselad of this node. Errors are TeselaErrors; E_NODAEMON when it does not run. */
export class DaemonClient {
  private readonly far: Far;

  constructor(paths: Paths) {
    this.far = { socket: paths.teseladSocket, absent: "E_NODAEMON", name: "teselad" };
  }

  status(signal?: AbortSignal): Promise<DaemonStatus> {
    return ask(this.far, { method: "GET", path: "/status", timeoutMs: QUICK_MS, ...(signal && { signal }) });
  }
  nodes(signal?: AbortSignal): Promise<NodeRow[]> {
    return ask(this.far, { method: "GET", path: "/nodes", timeoutMs: QUICK_MS, ...(signal && { signal }) });
  }
  ps(signal?: AbortSignal): Promise<ProcessRow[]> {
    return ask(this.far, { method: "GET", path: "/ps", timeoutMs: QUICK_MS, ...(signal && { signal }) });
  }
  /** Returns when the process runs on its new node; takes as long as its memory is big. */
  migrate(what: MigrateAsk & { why?: false }, signal?: AbortSignal): Promise<Migrated> {
    return ask(this.far, { method: "POST", path: "/migrate", body: what, ...(signal && { signal }) });
  }
  why(pid: string, target: string): Promise<WhyNot> {
    const body: MigrateAsk = { pid, target, why: true };
    return ask(this.far, { method: "POST", path: "/migrate", body, timeoutMs: QUICK_MS });
  }
  /** Waits a second for something to tell. */
  trace(what: TraceAsk, signal?: AbortSignal): Promise<Traced> {
    return ask(this.far, { method: "POST", path: "/trace", body: what, timeoutMs: QUICK_MS, ...(signal && { signal }) });
  }
  /** Takes as long as the processes that are to move. */
  ctl(what: ControlAsk): Promise<Controlled> {
    return ask(this.far, { method: "POST", path: "/ctl", body: what });
  }
  whyMoved(pid: string): Promise<WhyMoved> {
    return ask(this.far, { method: "POST", path: "/why", body: { pid }, timeoutMs: QUICK_MS });
  }
  /** The node where a process that computes, or this one, is best placed now. */
  best(what: BestAsk): Promise<{ readonly node: number }> {
    return ask(this.far, { method: "POST", path: "/best", body: what, timeoutMs: QUICK_MS });
  }
  setMask(what: MaskAsk): Promise<Masked> {
    return ask(this.far, { method: "POST", path: "/mask", body: what });
  }
  run(what: RunAsk): Promise<RunAnswer> {
    return ask(this.far, { method: "POST", path: "/run", body: what, timeoutMs: QUICK_MS });
  }
  /** A node with room for a program; one that waits asks again. */
  room(what: RoomAsk): Promise<RoomAnswer> {
    return ask(this.far, { method: "POST", path: "/room", body: what, timeoutMs: QUICK_MS });
  }
  discovered(): Promise<HeardRow[]> {
    return ask(this.far, { method: "GET", path: "/discovery", timeoutMs: QUICK_MS });
  }
  /** The clocks of some other nodes. */
  clocks(): Promise<ClockRow[]> {
    return ask(this.far, { method: "GET", path: "/clocks", timeoutMs: QUICK_MS });
  }
  remove(node: string, force: boolean): Promise<Entry> {
    return ask(this.far, { method: "POST", path: "/remove", body: { node, force }, timeoutMs: force ? QUICK_MS : EMPTY_MS });
  }
  leave(force: boolean): Promise<{ id: number }> {
    return ask(this.far, { method: "POST", path: "/leave", body: { force }, timeoutMs: force ? LEAVE_MS : EMPTY_MS });
  }
}
