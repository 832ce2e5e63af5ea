import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { TeselaError } from "../base/mod.ts";
import { DaemonClient } from "../daemon/mod.ts";
import { type DemoOptions, onEmbedded } from "./embedded.ts";
import type { DemoHost } from "./host.ts";
import { type Job, KINDS, type Kind, makeJob, PROGRAMS, plainScript, probeJob, sizeFor, WORK } from "./jobs.ts";
import { moveAround, type Running, startJob } from "./moving.ts";
import { bar, type Screen } from "./screen.ts";
import { liveLines, median, moveLine, ms, summaryLines } from "./view.ts";

/** Bringing the cluster up, trying the programs, taking it down. */
const AROUND_SECONDS = 6;
/** Work takes longer while it moves: every job stands still now and then, and the commands want CPU too. */
const MOVING_FACTOR = 1.3;
const TABLE_MS = 250;

/** Six programs, moved by hand. @returns whether every result was right. @throws TeselaError, or the signal's reason */
export const runMoves = (o: DemoOptions): Promise<boolean> =>
  onEmbedded(o, { programs: PROGRAMS, pin: false }, (host, screen) => new Show(o, screen, host).run());

/** What happens on the cluster once it is up. */
class Show {
  private readonly o: DemoOptions;
  private readonly screen: Screen;
  private readonly host: DemoHost;

  constructor(o: DemoOptions, screen: Screen, host: DemoHost) {
    this.o = o;
    this.screen = screen;
    this.host = host;
  }

  async run(): Promise<boolean> {
    const jobs = await this.sized();
    const begun = performance.now();
    const right = await this.unmoved(jobs);
    const all = await this.moved(jobs, ((performance.now() - begun) / 1000) * MOVING_FACTOR);
    return this.judge(all, right);
  }

  /** Every kind of job for a moment, to learn how big the real ones have to be. */
  private async sized(): Promise<Job[]> {
    const speed = new Map<Kind, number>();
    for (const kind of KINDS) {
      const begun = performance.now();
      await this.plain(probeJob(kind));
      speed.set(kind, (performance.now() - begun) / 1000);
    }
    const wall = Math.max(3, this.o.seconds - AROUND_SECONDS) / (1 + MOVING_FACTOR);
    const each = (wall * Math.min(availableParallelism(), WORK.length)) / WORK.length;
    return WORK.map(({ kind, variant }) => makeJob(kind, variant, sizeFor(kind, speed.get(kind) ?? 1, each)));
  }

  private async plain(job: Job): Promise<string> {
    const done = await this.host.run(["sh", "-c", plainScript(job)]);
    this.o.signal.throwIfAborted();
    if (done.status !== 0 || done.stdout === "") throw new TeselaError("E_INTERNAL", `${job.name} itself failed: ${done.stderr.trim()}`);
    return done.stdout;
  }

  private async unmoved(jobs: readonly Job[]): Promise<string[]> {
    this.screen.line("");
    this.screen.line(`1. ${jobs.length} programs run on h1, unmoved, for their right results:`);
    for (const job of jobs) this.screen.line(`   ${job.name}, ${job.size} ${job.unit}`);
    let done = 0;
    const running = jobs.map(async (job) => {
      const result = await this.plain(job);
      done++;
      this.screen.draw(["", bar(done / jobs.length, 72)]);
      return result;
    });
    this.screen.draw(["", bar(0, 72)]);
    const results = await this.orAbort(Promise.all(running));
    this.screen.erase();
    return results;
  }

  private async moved(jobs: readonly Job[], expectedSeconds: number): Promise<Running[]> {
    const { screen, host, o } = this;
    screen.line("");
    screen.line("2. The same again, started by `tesela run` on h1, while they are moved around by hand:");
    const begun = performance.now();
    const seconds = (): number => (performance.now() - begun) / 1000;
    const all = await this.orAbort(Promise.all(jobs.map((job) => startJob(host, job))));
    const names = ["h1", "h2", "h3"];
    const draw = (): void => {
      const ended = all.every((r) => r.end !== null);
      screen.draw(liveLines(all, names, ended ? 1 : Math.min(0.99, seconds() / expectedSeconds), screen.columns));
    };
    const stop = new AbortController();
    const signal = AbortSignal.any([o.signal, stop.signal]);
    const watching = this.watch(all, draw, signal);
    try {
      await this.orAbort(moveAround(host, all, [1, 2, 3], (m) => screen.line(moveLine(m, seconds())), signal));
    } finally {
      stop.abort();
      await watching;
    }
    screen.erase();
    return all;
  }

  /** Asks `ps` again and again, and draws. */
  private async watch(all: readonly Running[], draw: () => void, signal: AbortSignal): Promise<void> {
    const client = new DaemonClient(this.host.paths);
    while (!signal.aborted) {
      try {
        const rows = await client.ps(signal);
        for (const r of all) r.row = rows.find((row) => row.home === 1 && row.pid === r.pid) ?? null;
      } catch (e) {
        // The table may be a moment late; that a daemon is gone shows in the moves.
        if (!(e instanceof TeselaError) && !signal.aborted) throw e;
      }
      draw();
      await sleep(TABLE_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  private judge(all: readonly Running[], right: readonly string[]): boolean {
    const { screen } = this;
    const verdicts = all.map((r, i) => verdict(r, right[i] ?? ""));
    const stops = all.flatMap((r) => r.moves.map((m) => m.freezeMs));
    const wrong = verdicts.filter((v) => !v.startsWith(EQUAL)).length;
    screen.line("");
    for (const line of summaryLines(all, verdicts)) screen.line(line);
    screen.line("");
    if (stops.length === 0) {
      screen.line("Nothing could be moved, so nothing was shown.");
      return false;
    }
    const times = `a typical one stopped its program for ${ms(median(stops))}, the longest for ${ms(Math.max(...stops))}`;
    screen.line(`${stops.length} moves between three hosts; ${times}.`);
    if (wrong === 0) screen.line(`All ${all.length} results equal those of the unmoved programs.`);
    else screen.line(`${wrong} of ${all.length} results are NOT what they are without moving.`);
    return wrong === 0;
  }

  /** ^C does not wait for programs that run for another half minute. */
  private orAbort<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.o;
    return new Promise<T>((resolve, reject) => {
      const abort = (): void => reject(signal.reason as Error);
      if (signal.aborted) abort();
      signal.addEventListener("abort", abort, { once: true });
      work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    });
  }
}

const EQUAL = "equal";

function verdict(r: Running, right: string): string {
  if (r.end?.status !== 0) return `FAILED: ${r.end?.stderr.trim().split("\n").at(-1) || `status ${r.end?.status}`}`;
  if (r.end.stdout !== right) return "DIFFERS";
  return r.moves.length > 0 ? EQUAL : `${EQUAL}, but it ended before it could move`;
}
