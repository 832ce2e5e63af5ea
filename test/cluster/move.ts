import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { toTeselaError } from "../../src/base/mod.ts";
import { ask } from "../../src/daemon/mod.ts";
import type { TestCluster } from "./harness.ts";

/** Moving real programs on a real cluster, and telling whether they noticed. */

/** A seeded generator (mulberry32): a failing run is repeated by its seed. */
export function randomFrom(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export const SEED = Number(process.env.TESELA_SEED ?? Math.floor(Math.random() * 1e9));

/** Asks a host's engine directly, which takes a millisecond where a command takes a hundred. */
export function engine<T>(cluster: TestCluster, node: number, method: "GET" | "POST", path: string, body?: unknown): Promise<T> {
  const init = cluster.state.hosts.find((h) => h.id === node)?.init?.pid;
  const socket = `/proc/${init}/root/run/tesela/engine.sock`;
  return ask<T>(
    { socket, absent: "E_NOENGINE", name: "tesela-engine" },
    { method, path, ...(body !== undefined && { body }), timeoutMs: 120_000 },
  );
}

export interface Moved {
  readonly pid: number;
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
  readonly freezeMs: number;
  readonly totalMs: number;
}

export const migrate = (cluster: TestCluster, pid: number, target: number | "home", home = 1): Promise<Moved> =>
  engine<Moved>(cluster, home, "POST", "/migrate", { pid, target: target === home ? "home" : target, uid: 0 });

/** A descendant by name, the `nth` of that name, as its host counts; null when there is none (any more). */
export function findDescendant(outerPid: number, comm: string, nth = 0): { pid: number; outerPid: number } | null {
  const queue = [outerPid];
  let left = nth;
  for (let pid = queue.shift(); pid !== undefined; pid = queue.shift()) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      if (/^Name:\t(.*)$/m.exec(status)?.[1] === comm && !/^State:\tZ/m.test(status) && left-- === 0) {
        return { pid: Number(/^NSpid:\t(.*)$/m.exec(status)?.[1]?.split("\t").at(-1)), outerPid: pid };
      }
      for (const task of readdirSync(`/proc/${pid}/task`)) {
        queue.push(...readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number));
      }
    } catch {
      // It ended while we looked.
    }
  }
  return null;
}

/** The PID of a host's process as this machine counts. @throws Error when there is none */
export function outerPid(cluster: TestCluster, node: number, pid: number): number {
  const init = cluster.state.hosts.find((h) => h.id === node)?.init?.pid;
  const namespace = readlinkSync(`/proc/${init}/ns/pid`);
  for (const name of readdirSync("/proc").filter((n) => /^\d+$/.test(n))) {
    try {
      const inner = /^NSpid:\t(.*)$/m
        .exec(readFileSync(`/proc/${name}/status`, "utf8"))?.[1]
        ?.split("\t")
        .at(-1);
      if (inner === String(pid) && readlinkSync(`/proc/${name}/ns/pid`) === namespace) return Number(name);
    } catch {
      // It ended while we looked.
    }
  }
  throw new Error(`node ${node} has no process ${pid}`);
}

/** Where an engine says that one of its node's processes runs. */
export async function whereIs(cluster: TestCluster, pid: number, home = 1): Promise<number> {
  const rows = await engine<{ pid: number; node: number; role: string }[]>(cluster, home, "GET", "/processes");
  return rows.find((r) => r.pid === pid && r.role === "home")?.node ?? home;
}

export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number;
}

export interface MovedOutcome extends Outcome {
  readonly moves: readonly Moved[];
  /** Why moves were not made; that the program had ended is no reason. */
  readonly refused: readonly string[];
}

export interface MoveOptions {
  /** The program that is moved: its name in /proc, under the shell that runs the script. */
  readonly name: string;
  /** The how manieth of that name, from 0. */
  readonly nth?: number;
  /** Stop after so many moves; endless unless given. */
  readonly moves?: number;
  /** Pause between two moves, milliseconds: [least, most]. */
  readonly gap?: readonly [number, number];
  readonly seed?: number;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Nodes to visit in this order, over and over; any other node each time unless given. Home is 1. */
  readonly route?: readonly number[];
}

/** Hang guard of one program. */
const GUARD_MS = 240_000;
/** The program has ended, or does not run any more though its parent has not looked yet. */
const ENDED: ReadonlySet<string> = new Set(["E_GONE", "E_NOENT_PID"]);
const NODES = [1, 2, 3];

/** Runs a script on node 1 and moves a program of it around until it ends. */
export async function runMoved(cluster: TestCluster, script: string, o: MoveOptions): Promise<MovedOutcome> {
  const random = randomFrom(o.seed ?? SEED);
  await using program = await start(cluster, script, o);
  const { end } = program;
  const [least, most] = o.gap ?? [30, 200];
  const pause = (): Promise<unknown> => Promise.race([sleep(least + random() * (most - least)), end]);
  const moves: Moved[] = [];
  const refused: string[] = [];
  while (!program.over() && moves.length < (o.moves ?? Number.POSITIVE_INFINITY)) {
    const target = findDescendant(program.outerPid, o.name, o.nth);
    if (!target) {
      await Promise.race([sleep(2), end]);
      continue;
    }
    try {
      const at = await whereIs(cluster, target.pid);
      const choices = NODES.filter((n) => n !== at);
      const to = o.route?.[moves.length % o.route.length] ?? (choices[Math.floor(random() * choices.length)] as number);
      moves.push(await migrate(cluster, target.pid, to));
    } catch (e) {
      const { code, details, message } = toTeselaError(e);
      const reasons = JSON.stringify(details.reasons ?? []);
      if (!ENDED.has(code) && reasons !== '["ended"]') refused.push(`${code} ${reasons} ${message}`);
    }
    await pause();
  }
  return { ...(await end), moves, refused };
}

/** A program that is soon done where moves take long has not been moved often enough to tell: so many runs are tried. */
const MOST_RUNS = 5;

/** Moved runs of a script until all of them together have had so many moves. @throws Error when even {@link MOST_RUNS} had not */
export async function runMovedOften(
  cluster: TestCluster,
  script: string,
  least: number,
  options: (run: number) => MoveOptions | Promise<MoveOptions>,
): Promise<MovedOutcome[]> {
  const runs: MovedOutcome[] = [];
  for (let moves = 0; moves < least; moves += runs.at(-1)?.moves.length ?? 0) {
    if (runs.length === MOST_RUNS) throw new Error(`only ${moves} moves in ${runs.length} runs of: ${script}`);
    runs.push(await runMoved(cluster, script, await options(runs.length)));
  }
  return runs;
}

/** The same without moving. */
export async function runUnmoved(cluster: TestCluster, script: string, o: Pick<MoveOptions, "cwd" | "env"> = {}): Promise<Outcome> {
  await using program = await start(cluster, script, o);
  return await program.end;
}

export interface Running extends AsyncDisposable {
  readonly outerPid: number;
  readonly end: Promise<Outcome>;
  over(): boolean;
}

/** Starts a script on node 1, without input. It is ended when it takes longer than `guardMs`, 0 for ever. */
export async function start(
  cluster: TestCluster,
  script: string,
  o: Pick<MoveOptions, "cwd" | "env"> & { readonly guardMs?: number },
): Promise<Running> {
  // Without start-up files: a bash whose input is a socket takes it for rshd's, and reads one.
  const { child, outerPid, ended } = await cluster.spawn(1, ["bash", "--norc", "-c", script], {
    ...(o.cwd && { cwd: o.cwd }),
    ...(o.env && { env: o.env }),
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on("data", (b: Buffer) => out.push(b));
  child.stderr?.on("data", (b: Buffer) => err.push(b));
  child.stdin?.end();
  const { guardMs = GUARD_MS } = o;
  const guard = guardMs > 0 ? setTimeout(() => child.kill("SIGKILL"), guardMs) : undefined;
  let over = false;
  const end = Promise.all([ended, once(child, "close")]).then(([{ status }]) => {
    over = true;
    clearTimeout(guard);
    return { stdout: Buffer.concat(out).toString("latin1"), stderr: Buffer.concat(err).toString("latin1"), status };
  });
  const stop = async (): Promise<void> => {
    if (!over) child.kill("SIGKILL");
    await end;
  };
  return { outerPid, end, over: () => over, [Symbol.asyncDispose]: stop };
}

interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly reason?: string;
}

function logLines(log: string): LogLine[] {
  return log.split("\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as LogLine] : []));
}

/** Why processes came home without having been told to, by an engine's log. */
export const homecomings = (log: string): string[] =>
  logLines(log).flatMap((l) => (l.message === "brought home" && l.reason !== undefined ? [l.reason] : []));

/** Both sides of a move that failed, which its caller was told of. */
const TOLD: ReadonlySet<string> = new Set(["a move failed", "a process was not carried"]);
/** What else an engine complained about in its log. */
export const troubles = (log: string): string[] =>
  logLines(log).flatMap((l) => ((l.level === "error" || l.level === "warn") && !TOLD.has(l.message) ? [JSON.stringify(l)] : []));

/** Marks the places in all engines' logs; the function tells what they have said since. */
export function listen(cluster: TestCluster): (node: number) => string {
  const nodes = cluster.state.hosts.map((h) => h.id);
  const begin = new Map(nodes.map((n) => [n, cluster.log(n, "tesela-engine").length]));
  return (node) => cluster.log(node, "tesela-engine").slice(begin.get(node));
}
