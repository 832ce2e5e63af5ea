import { TeselaError } from "../base/mod.ts";
import type { Image } from "../image/mod.ts";
import { proc } from "../sys/mod.ts";
import type { HomeProcess } from "./home-process.ts";

/** What a guest's node last said of it. */
export interface Usage {
  readonly userUs: number;
  readonly systemUs: number;
  readonly rss: number;
  readonly state: string;
  readonly calls: number;
  readonly at: number;
}

/** CPU time used away from home. */
export interface AwayCpu {
  readonly all: Image["cpuUsed"];
  readonly threads: ReadonlyMap<number, Image["cpuUsed"]>;
}
export const NO_CPU: AwayCpu = { all: { user: 0, system: 0 }, threads: new Map() };

/** One of this node's processes that was moved, or is to be: its history as long as it lives. */
export class Track {
  readonly pid: number;
  /** With the PID it names the process for good. */
  readonly startTime: bigint;
  readonly since = Date.now();
  /** Set while its user area is away. */
  process: HomeProcess | null = null;
  /** Where it runs; null at home. */
  node: number | null = null;
  nmigs = 0;
  /** A move of it is under way. */
  claimed = false;
  /** Its guest is not there yet: it cannot be moved. */
  beingBorn = false;
  /** Stopped at an exec by us, and still traced. */
  seized = false;
  cantmove: readonly string[] = [];
  /** Away from home, by all of it and by each of its threads. */
  away: AwayCpu = NO_CPU;
  usage: Usage | null = null;
  previous: { cpuUs: number; at: number } | null = null;
  last: { bytes: number; freezeMs: number } | null = null;
  share = 0;

  constructor(pid: number, startTime: bigint) {
    this.pid = pid;
    this.startTime = startTime;
  }

  /** It is being moved, or another of those that are away with it. */
  get busy(): boolean {
    return this.claimed || this.beingBorn || (this.process?.group?.claimed ?? false);
  }

  moved(node: number | null, move: { bytes: number; freezeMs: number }): void {
    this.node = node;
    this.nmigs++;
    this.last = move;
    if (node !== null) this.cantmove = [];
    this.usage = null;
    this.previous = null;
  }
}

export class Tracks {
  private readonly byPid = new Map<number, Track>();

  /** The track of a process that exists now. @throws TeselaError E_NOENT_PID, E_GONE */
  of(pid: number): Track {
    const known = this.find(pid);
    if (known) return known;
    let stat: proc.Stat;
    try {
      stat = proc.readStat(pid);
    } catch (e) {
      throw new TeselaError("E_NOENT_PID", `no process ${pid} on this node`, { pid }, { cause: e });
    }
    // Its parent has not waited for it yet. Of several threads the first may have ended alone.
    if (!proc.exists(pid) && stat.threads <= 1) throw new TeselaError("E_GONE", `process ${pid} has ended`, { pid });
    const track = new Track(pid, stat.startTime);
    this.byPid.set(pid, track);
    return track;
  }

  /** A PID that another process has taken over is not the same process. */
  find(pid: number): Track | undefined {
    const track = this.byPid.get(pid);
    if (!track) return undefined;
    try {
      if (proc.readStat(pid).startTime === track.startTime) return track;
    } catch {
      // It has ended.
    }
    this.byPid.delete(pid);
    return undefined;
  }

  forget(pid: number): void {
    this.byPid.delete(pid);
  }

  all(): Track[] {
    return [...this.byPid.keys()].map((pid) => this.find(pid)).filter((t): t is Track => t !== undefined);
  }
}
