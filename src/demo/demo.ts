import { accessSync, constants } from "node:fs";
import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { TeselaError } from "../base/mod.ts";
import { DaemonClient } from "../daemon/mod.ts";
import { capabilities, clusterDown, clusterUp, type Lease } from "../testbed/mod.ts";
import { DemoHost } from "./host.ts";
import { type Job, KINDS, type Kind, makeJob, PROGRAMS, plainScript, probeJob, sizeFor, WORK } from "./jobs.ts";
import { moveAround, type Running, startJob } from "./moving.ts";
import { bar, type Output, Screen } from "./screen.ts";
import { liveLines, median, moveLine, ms, summaryLines } from "./view.ts";

export interface DemoOptions {
  /** Of its cluster. */
  readonly name: string;
  /** The cluster stays up afterwards. */
  readonly keep: boolean;
  /** About how long the whole takes. */
  readonly seconds: number;
  /** How the command is called here: `tesela`, or a path. */
  readonly command: string;
  readonly output: Output;
  readonly signal: AbortSignal;
}

const HOSTS = 3;
/** Bringing the cluster up, trying the programs, taking it down. */
const AROUND_SECONDS = 6;
/** Work takes longer while it moves: every job stands still now and then, and the commands want CPU too. */
const MOVING_FACTOR = 1.3;
const TABLE_MS = 250;

/** @returns whether every result was right. @throws TeselaError, or the signal's reason */
export async function runDemo(o: DemoOptions): Promise<boolean> {
  using screen = new Screen(o.output);
  await requireAll();
  const { name } = o;
  screen.line(`Bringing up three hosts on this machine (cluster '${name}') ...`);
  const begun = performance.now();
  const lease: Lease = await clusterUp({ name, hosts: HOSTS, leased: true, env: { TESELA_LEVEL: "off" }, signal: o.signal });
  let kept = false;
  const host = new DemoHost(lease.state, "h1");
  try {
    const nodes = lease.state.hosts.map((h) => `${h.name} ${h.address}`).join(", ");
    screen.line(`Up after ${((performance.now() - begun) / 1000).toFixed(1)} s: ${nodes}. Each has its own network, processes and files.`);
    const good = await new Show(o, screen, host).run();
    if (o.keep) {
      lease.release();
      kept = true;
      for (const line of howToUse(o.command, name)) screen.line(line);
    }
    return good;
  } finally {
    screen.erase();
    host.killAll();
    if (!kept) await clusterDown(name);
  }
}

async function requireAll(): Promise<void> {
  const programs = Object.entries(PROGRAMS).filter(([program]) => !onPath(program));
  const have = await capabilities();
  const missing = [...have.missing, ...programs.map(([program, pkg]) => `the program ${program} is not installed (Debian package ${pkg})`)];
  if (missing.length > 0) throw new TeselaError("E_MISSING", `the demo cannot run here: ${missing.join("; ")}`, { missing });
}

function onPath(program: string): boolean {
  return (process.env["PATH"] ?? "").split(":").some((dir) => {
    try {
      accessSync(`${dir}/${program}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

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

function howToUse(tesela: string, name: string): string[] {
  return [
    "",
    `The cluster '${name}' stays up. Try:`,
    `  ${tesela} cluster exec --name ${name} h1 -- bash     a shell on h1, then there:`,
    "      tesela nodes",
    "      tesela run sh -c 'while :; do date; sleep 1; done' &",
    "      tesela migrate $! 2; tesela ps",
    "End it with:",
    `  ${tesela} cluster down --name ${name}`,
  ];
}
