import { readFileSync } from "node:fs";
import { PAGE } from "../base/mod.ts";
import { proc } from "../sys/mod.ts";
import type { Head } from "../wire/mod.ts";
import type { GuestProcess } from "./guest-process.ts";
import type { Track } from "./tracks.ts";

/** What an engine says of a process, and `--json` prints of it: append fields, never rename one. */
export interface ProcessFacts {
  /** As its home node counts it. */
  readonly pid: number;
  /** `home:pid`. */
  readonly cpid: string;
  readonly home: number;
  /** Where it runs now. */
  readonly node: number;
  /** Moves so far, those back home included. */
  readonly nmigs: number;
  /** One letter, as ps(1) has it. */
  readonly state: string;
  /** In CPUs: 0.5 is half of one. */
  readonly cpu: number;
  /** Resident bytes, where it runs. */
  readonly rss: number;
  readonly user: string;
  /** Not to be moved by itself. */
  readonly lock: boolean;
  /** Named reasons why it may not leave home now. */
  readonly cantmove: readonly string[];
  readonly command: string;
  /** Bytes the last move carried and for how long it stood still, where known. */
  readonly lastBytes?: number;
  readonly lastFreezeMs?: number;
  /** It is away and its link is cut, for so many milliseconds: it goes on when the link does. */
  readonly cutMs?: number;
}

/** A row of `tesela ps`, as the engine gives it (COMMANDS.md, shapes). */
export interface Row extends ProcessFacts {
  readonly role: "home" | "guest";
  readonly since: number;
  /** Made at home for it so far. */
  readonly calls?: number;
  /** CPU time used so far, at home and away; of a guest with what it had used before it came. */
  readonly cpuMs: number;
}

/** CPU shares are told over at least this long. */
const SHARE_MS = 500;

export function homeRow(track: Track, node: number, users: UserNames): Row | null {
  const { pid } = track;
  const cutMs = track.process?.host?.cutMs ?? null;
  try {
    const stat = proc.readStat(pid);
    const { usage } = track;
    const awayUs = usage ? usage.userUs + usage.systemUs : track.away.all.user + track.away.all.system;
    const cpuUs = stat.cpuTicks * (1_000_000 / proc.TICKS_PER_SECOND) + awayUs;
    return {
      pid,
      cpid: `${node}:${pid}`,
      home: node,
      node: track.node ?? node,
      nmigs: track.nmigs,
      state: track.process ? (stat.state === "T" ? "T" : (usage?.state ?? "R")) : stat.state,
      cpu: share(track, cpuUs),
      rss: usage ? usage.rss : stat.rssPages * PAGE,
      user: users.name(uidOf(pid)),
      lock: false,
      cantmove: track.cantmove,
      command: proc.readCommand(pid),
      role: "home",
      since: track.since,
      cpuMs: Math.round(cpuUs / 1000),
      ...(track.last && { lastBytes: track.last.bytes, lastFreezeMs: Math.round(track.last.freezeMs * 100) / 100 }),
      ...(usage && { calls: usage.calls }),
      ...(cutMs !== null && { cutMs: Math.round(cutMs) }),
    };
  } catch {
    // It has ended while we looked.
    return null;
  }
}

/** Of a guest nothing is told here but what its host must know. */
export function guestRow(guest: GuestProcess, node: number): Row | null {
  const usage = usageOf(guest);
  if (!usage) return null;
  return {
    pid: guest.image.pid,
    cpid: `${guest.home}:${guest.image.pid}`,
    home: guest.home,
    node,
    nmigs: 0,
    state: usage.state,
    cpu: 0,
    rss: usage.rss,
    user: "",
    lock: false,
    cantmove: [],
    command: "",
    role: "guest",
    since: guest.startedAt,
    calls: usage.calls,
    cpuMs: Math.round((usage.userUs + usage.systemUs) / 1000),
  };
}

/** In CPUs, since the sample before. */
function share(track: Track, cpuUs: number): number {
  const now = Date.now();
  const before = track.previous;
  if (!before || cpuUs < before.cpuUs) {
    track.previous = { cpuUs, at: now };
    return 0;
  }
  const elapsed = now - before.at;
  if (elapsed < SHARE_MS) return track.share;
  track.previous = { cpuUs, at: now };
  track.share = Math.round(((cpuUs - before.cpuUs) / (elapsed * 1000)) * 100) / 100;
  return track.share;
}

const uidOf = (pid: number): number => Number((proc.statusField(proc.readStatus(pid), "Uid") ?? "0").split("\t")[0]);

/** Names of users, from /etc/passwd; a number where there is none. */
export class UserNames {
  private readonly names = new Map<number, string>();

  name(uid: number): string {
    if (this.names.size === 0) this.read();
    return this.names.get(uid) ?? String(uid);
  }
  private read(): void {
    for (const line of readFileSync("/etc/passwd", "utf8").split("\n")) {
      const [name, , uid] = line.split(":");
      if (name && uid && !this.names.has(Number(uid))) this.names.set(Number(uid), name);
    }
  }
}

/** How a guest fares; null once it has ended. */
export function usageOf(guest: GuestProcess): Head<"usage">["rows"][number] | null {
  if (guest.gone) return null;
  const { user, system } = guest.cpuUsed();
  const kinds = [...guest.threads.values()].map((t) => t.state.kind);
  const state = kinds.includes("running") ? "R" : kinds.includes("stopped") ? "T" : "S";
  return { ticket: guest.ticket, userUs: user, systemUs: system, rss: guest.rss(), state, calls: guest.forwarded };
}
