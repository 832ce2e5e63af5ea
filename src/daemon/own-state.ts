import type { Log } from "../base/mod.ts";
import { LoadSampler, type NodeSample, type Parts, type ProcessStat } from "../load/mod.ts";
import type { EngineClient } from "./engine-client.ts";
import type { Expected, OwnFigures } from "./levelling.ts";
import { isOwnCommand } from "./own-commands.ts";
import type { NodeStatus } from "./peer.ts";
import type { EngineStatus } from "./shapes.ts";

/** The others hear at once when so much of the memory has become free, or is no more. */
const TELLING = 1 / 16;

/** For so long a node that takes guests counts as new. */
const NEW_MS = 5000;

export interface OwnStateParts {
  readonly engine: Pick<EngineClient, "status">;
  /** What was said of this node: words of its policies. */
  readonly flags: () => readonly string[];
  readonly speed: () => number;
  /** Whether a process of this node may move by itself. */
  readonly movable: (pid: number) => boolean;
  /** What others are told, with what is on its way here. */
  readonly expected: (sample: NodeSample, sampledMs: number) => Expected;
  /** Whether tasks count that this node does not see. */
  readonly rivals: () => boolean;
  /** An engine answers, and did not before, or was another one: what it must know it is told. Where that fails it is not there yet. */
  readonly greet: () => Promise<void>;
  /** It is there; a sample is wanted soon. */
  readonly found: () => void;
  /** The engine answers no more. */
  readonly lost: () => void;
  readonly log: Log;
}

/**
 * What this node knows of itself: how busy it is, its memory, its engine. What runs while an engine starts is mostly that start itself, so a node takes guests,
 * and says that it does, when it has been measured without.
 */
export class OwnState {
  private readonly p: OwnStateParts;
  private readonly sampler = new LoadSampler();
  private sampled: NodeSample;
  /** Its load. */
  private sampledMs = performance.now();
  /** Of more than a moment. */
  private isMeasured = false;
  /** Since its engine has been there. */
  private isReady = false;
  private openedAt = Number.NEGATIVE_INFINITY;
  private asking: Promise<void> | null = null;
  private status: EngineStatus | null = null;
  /** Bytes of free memory that the others have been told of. */
  private toldFree = 0;

  constructor(parts: OwnStateParts) {
    this.p = parts;
    this.sampled = this.begin();
  }

  /** Null while it does not answer. */
  get engine(): EngineStatus | null {
    return this.status;
  }

  /** Whether programs can come and go: with an engine, and when it is known what runs beside it. */
  get isOpen(): boolean {
    return this.isReady;
  }

  /** It takes guests, and did not a moment ago. */
  get isNew(): boolean {
    return this.isReady && performance.now() - this.openedAt < NEW_MS;
  }

  /** All processes as they were at the last sample. */
  get everybody(): ReadonlyMap<number, ProcessStat> {
    return this.sampler.everybody;
  }

  get memory(): NodeSample {
    return this.sampled;
  }

  /** Once a second, and soon after an engine was found. @returns whether the others wait to hear of it */
  sample(): boolean {
    this.sampled = this.sampler.sample(this.parts());
    this.sampledMs = performance.now();
    const isNews = !this.isMeasured || (this.status !== null && !this.isReady);
    if (this.status !== null && !this.isReady) this.openedAt = performance.now();
    this.isMeasured = true;
    this.isReady = this.status !== null;
    return isNews;
  }

  /** Memory alone. @returns whether the others are to hear at once how it has changed */
  sampleMemory(): boolean {
    this.sampled = { ...this.sampled, ...this.sampler.sampleMemory() };
    const { memFree, memTotal } = this.sampled;
    return Math.abs(memFree - this.toldFree) > memTotal * TELLING;
  }

  /** What the engine says from now on: an answer that is under way may have been made before what the caller wants to know of. */
  async askAnew(): Promise<void> {
    await this.asking;
    await this.ask();
  }

  /** Finds out whether the engine is there. */
  async ask(): Promise<void> {
    this.asking ??= this.look().finally(() => {
      this.asking = null;
    });
    await this.asking;
  }

  private async look(): Promise<void> {
    const before = this.status;
    try {
      const now = await this.p.engine.status();
      const isNew = now.pid !== before?.pid;
      if (isNew) await this.p.greet();
      this.status = now;
      if (!isNew) return;
      this.isReady = false;
      this.sampled = this.begin();
      this.p.found();
    } catch (e) {
      this.status = null;
      this.isReady = false;
      if (before === null) return;
      this.p.log.warn("the engine does not answer", { error: (e as Error).message });
      this.p.lost();
    }
  }

  /** For its own decisions. */
  figures(): OwnFigures {
    const { local, present, memFree, load, untried } = this.sampled;
    return { ...this.facts(), memFree, memGrowth: undefined, load, local, present, untried, sampledMs: this.sampledMs };
  }

  facts(): NodeStatus {
    const { guests = 0, away = 0 } = this.status ?? {};
    const { cpus, got, speed, cpu, memTotal, own } = this.sampled;
    const { memFree, memGrowth, load } = this.expected();
    const flags = [...this.p.flags(), ...(this.isReady ? [] : ["noengine"])];
    return { cpus, got, speed, cpu, load, memTotal, memFree, memGrowth, own, guests, away, flags };
  }

  /** The same, and what gossip alone says. */
  shown(): NodeStatus {
    return { ...this.facts(), util: this.expected().util };
  }

  private expected(): Expected {
    return this.p.expected(this.sampled, this.sampledMs);
  }

  /** What the others are told; nothing in the moments in which it knows nothing of itself: what they know of it holds meanwhile. */
  told(): NodeStatus | null {
    if (!this.isMeasured) return null;
    this.toldFree = this.sampled.memFree;
    return this.shown();
  }

  private begin(): NodeSample {
    return this.sampler.begin(this.parts());
  }

  private parts(): Parts {
    const { speed, movable, rivals } = this.p;
    this.sampler.setSpeed(speed());
    return { ours: new Set(this.status === null ? [] : [this.status.pid]), passing: isOwnCommand, movable, rivals: rivals() };
  }
}
