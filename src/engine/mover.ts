import { type Log, type NodeId, toTeselaError } from "../base/mod.ts";
import type { FileHashes, Image } from "../image/mod.ts";
import type { PeerAddress, Transport } from "../io/mod.ts";
import { proc, type Tracees } from "../sys/mod.ts";
import type { CarryOptions } from "./carry.ts";
import type { BulkLines } from "./bulk-lines.ts";
import type { Claims } from "./claims.ts";
import type { Deputy } from "./deputy.ts";
import type { HomeProcess } from "./home-process.ts";
import type { Link, Links } from "./links.ts";
import type { NodeFacts } from "./node-facts.ts";
import { BUFFER_BYTES } from "./seat.ts";
import { HomeTimes, type Traces } from "./traces.ts";
import type { Track, Tracks } from "./tracks.ts";

export interface HomeParts {
  readonly node: NodeId;
  readonly tracees: Tracees;
  readonly transport: Transport;
  readonly peers: () => readonly PeerAddress[];
  readonly facts: NodeFacts;
  readonly carry: CarryOptions;
  readonly log: Log;
}

/** What moves need of the home side of an engine. */
export interface Mover {
  readonly parts: HomeParts;
  readonly links: Links;
  readonly lines: BulkLines;
  readonly tracks: Tracks;
  readonly traces: Traces;
  readonly hashes: FileHashes;
  ticket(): number;
  peer(node: number): PeerAddress;
  homeProcess(deputy: Deputy, begin: Beginning, ticket?: number): HomeProcess;
  /** What its guest asks for is seen to from now on. */
  watch(track: Track, home: HomeProcess): void;
}

/** What a process is as its deputies begin. */
export interface Beginning {
  readonly stopRequested: boolean;
  /** See {@link Image.signalsAtHome}. */
  readonly signalsAtHome: boolean;
}

/** A move that has been asked for. */
export interface Request {
  readonly mover: Mover;
  /** The process that it was asked of; those that share its memory come along. */
  readonly lead: Track;
  readonly claims: Claims;
  /** Who asks; null for the engine itself, which moves what may be moved. */
  readonly uid: number | null;
}

export interface Moved {
  readonly tracks: readonly Track[];
  /** Carried while they were frozen. */
  readonly bytes: number;
  readonly freezeMs: number;
  /** The one that it was asked of has not gone with the others. */
  readonly error?: unknown;
}

/** Whether somebody may move a process along with another: its owner, the superuser, or the engine itself. */
export const mayMove = (uid: number | null, pid: number): boolean =>
  uid === null || uid === 0 || uid === Number((proc.statusField(proc.readStatus(pid), "Uid") ?? "").split("\t")[0]);

/** Of those that run elsewhere now some may not have come as far as that here: they cannot stay, the others go on without them. */
export function movedAway(
  homes: readonly { readonly home: HomeProcess }[],
  results: readonly PromiseSettledResult<unknown>[],
  what: string,
  moved: Moved,
): Moved {
  const reasons = results.map((r) => (r.status === "rejected" ? r.reason : undefined));
  reasons.forEach((reason, i) => {
    if (reason !== undefined) homes[i]?.home.kill(`${what}: ${toTeselaError(reason).message}`);
  });
  return reasons[0] === undefined ? moved : { ...moved, error: reasons[0] };
}

/** A silent peer is waited for so long before a move begins. */
export const OPEN_MS = 5000;

/**
 * The guests of these processes, which have arrived on a node, run there from now on: all of them or none.
 * @param keep names the group whose memory is kept there beyond their end
 * @throws what that node says
 */
export async function letRun(
  { traces, parts }: Mover,
  link: Link,
  homes: readonly { readonly home: HomeProcess; readonly image?: Image }[],
  from: number,
  keep: string | null,
): Promise<void> {
  const processes = [];
  for (const { home, image } of homes) {
    const watched = traces.watched(home.pid);
    home.times = watched ? (home.times ?? new HomeTimes()) : null;
    const threads = [...home.threads.values()].map((t) => ({ tid: t.tid, ticket: t.ticket, area: t.deputy.buffer, borne: t.borne }));
    const area = { threads, areaSize: BUFFER_BYTES, reservedFds: home.reservedFds };
    const news = (await home.news(image)).map((n) => ({ ...n }));
    const { fds, kept } = home.guard;
    processes.push({ ticket: home.ticket, round: home.round, ...area, watched, news, guarded: [...fds], guardedExec: kept });
  }
  await link.asks.ask(
    "go",
    { from, processes, cpus: parts.facts.cpus, ...(keep !== null && { keep }) },
    timeFor(homes.length, parts.carry.stepMs),
  );
}

/** So many of a group do within the time of a step what is done to each of them. */
export const AT_ONCE = 32;
export const timeFor = (processes: number, stepMs: number): number => stepMs * Math.ceil(processes / AT_ONCE);

/** Processes of a group that are carried at the same time: of hundreds each would wait for all the others, and has no longer for a step. */
export const CARRIED_AT_ONCE = 4;
/** Does it for all of them, in order and few at a time; none is begun after an error. @throws the first error, once nothing is under way */
export async function fewAtOnce<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const left = [...items.entries()];
  const results: R[] = [];
  const worker = async (): Promise<void> => {
    try {
      for (let next = left.shift(); next; next = left.shift()) results[next[0]] = await work(next[1]);
    } catch (e) {
      left.length = 0;
      throw e;
    }
  };
  await all(Array.from({ length: CARRIED_AT_ONCE }, worker));
  return results;
}

/** All of them, even when one fails. @throws the first error */
export async function all<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(work);
  return results.map((r) => {
    if (r.status === "rejected") throw r.reason;
    return r.value;
  });
}
