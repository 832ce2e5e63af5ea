import type { Paths } from "../base/mod.ts";
import { type Ask, ask, type Far } from "./client.ts";
import type { EngineRow, EngineStatus, LinkRow, Migrated, RunAnswer, Traced, WhyNot } from "./shapes.ts";

/** A migration of one of this node's own processes, checked and authorized. */
export interface EngineMigrate {
  readonly pid: number;
  readonly target: number | "home";
  readonly uid: number;
  readonly why?: boolean;
}

export interface EngineRun {
  readonly pid: number;
  readonly target: number | null;
  readonly uid: number;
  readonly execs?: number;
}

export interface EngineTrace {
  readonly pid: number;
  /** From the last answer; null to begin. */
  readonly session: string | null;
  readonly close?: boolean;
}

/** What teselad needs of the data plane. All may throw E_NOENGINE. */
export interface EngineClient {
  status(): Promise<EngineStatus>;
  processes(): Promise<EngineRow[]>;
  links(): Promise<LinkRow[]>;
  migrate(what: EngineMigrate): Promise<Migrated>;
  why(what: EngineMigrate): Promise<WhyNot>;
  run(what: EngineRun): Promise<RunAnswer>;
  trace(what: EngineTrace): Promise<Traced>;
  /** Whether it takes guests from now on. */
  accept(guests: boolean): Promise<void>;
}

const QUICK_MS = 5000;

/** The engine of this node, over its Unix socket. */
export class HttpEngine implements EngineClient {
  private readonly far: Far;

  constructor(paths: Paths) {
    this.far = { socket: paths.engineSocket, absent: "E_NOENGINE", name: "tesela-engine" };
  }
  status(): Promise<EngineStatus> {
    return this.get("/status");
  }
  processes(): Promise<EngineRow[]> {
    return this.get("/processes");
  }
  links(): Promise<LinkRow[]> {
    return this.get("/links");
  }
  /** No time limit: the bytes decide. */
  migrate(what: EngineMigrate): Promise<Migrated> {
    return ask(this.far, { method: "POST", path: "/migrate", body: { ...what, why: false } });
  }
  why(what: EngineMigrate): Promise<WhyNot> {
    return ask(this.far, { method: "POST", path: "/migrate", body: { ...what, why: true }, timeoutMs: QUICK_MS });
  }
  run(what: EngineRun): Promise<RunAnswer> {
    return ask(this.far, { method: "POST", path: "/run", body: what, timeoutMs: QUICK_MS });
  }
  trace(what: EngineTrace): Promise<Traced> {
    return ask(this.far, { method: "POST", path: "/trace", body: what, timeoutMs: QUICK_MS });
  }
  async accept(guests: boolean): Promise<void> {
    await ask(this.far, { method: "POST", path: "/accept", body: { guests }, timeoutMs: QUICK_MS });
  }
  private get<T>(path: Ask["path"]): Promise<T> {
    return ask(this.far, { method: "GET", path, timeoutMs: QUICK_MS });
  }
}
