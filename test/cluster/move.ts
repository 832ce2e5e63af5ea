import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type TeselaError, toTeselaError } from "../../src/base/mod.ts";
import { ask } from "../../src/daemon/client.ts";
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
  return ask<T>({ socket, absent: "E_NOENGINE", name: "tesela-engine" }, { method, path, ...(body !== undefined && { body }), timeoutMs: 120_000 });
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

/** A descendant by name, as its host counts; null when there is none (any more). */
export function findDescendant(outerPid: number, comm: string): { pid: number; outerPid: number } | null {
  const queue = [outerPid];
  for (let pid = queue.shift(); pid !== undefined; pid = queue.shift()) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      if (/^Name:\t(.*)$/m.exec(status)?.[1] === comm && !/^State:\tZ/m.test(status)) {
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

export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number;
  /** Moves that were made, and why others were not. */
  readonly moves: number;
  readonly refused: readonly string[];
}

export interface MoveOptions {
  /** The program that is moved: its name in /proc, under the shell that runs the script. */
  readonly name: string;
  /** Stop after so many moves; endless unless given. */
  readonly moves?: number;
  /** Pause between two moves, milliseconds: [least, most]. */
  readonly gap?: readonly [number, number];
  readonly seed?: number;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Only among these nodes; home is 1. */
  readonly nodes?: readonly number[];
}

/** Hang guard of one program. */
const GUARD_MS = 240_000;

/** Runs a script on node 1 and moves a program of it around until it ends. */
export async function runMoved(cluster: TestCluster, script: string, o: MoveOptions): Promise<Outcome> {
  const random = randomFrom(o.seed ?? SEED);
  const program = await cluster.spawn(1, ["bash", "-c", script], { ...(o.cwd && { cwd: o.cwd }), ...(o.env && { env: o.env }) });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  program.child.stdout?.on("data", (b: Buffer) => out.push(b));
  program.child.stderr?.on("data", (b: Buffer) => err.push(b));
  program.child.stdin?.end();
  let ended = false;
  const guard = setTimeout(() => program.child.kill("SIGKILL"), GUARD_MS);
  const end = Promise.all([program.ended, new Promise((r) => program.child.once("close", r))]).then(([e]) => {
    ended = true;
    return e;
  });
  const nodes = o.nodes ?? [1, 2, 3];
  const [least, most] = o.gap ?? [30, 200];
  let moves = 0;
  const refused: string[] = [];
  let at = 1;
  while (!ended && moves < (o.moves ?? Number.POSITIVE_INFINITY)) {
    const target = findDescendant(program.outerPid, o.name);
    if (!target) {
      await Promise.race([sleep(2), end]);
      continue;
    }
    const choices = nodes.filter((n) => n !== at);
    const to = choices[Math.floor(random() * choices.length)] ?? 2;
    try {
      await migrate(cluster, target.pid, to);
      moves++;
      at = to;
    } catch (e) {
      const error: TeselaError = toTeselaError(e);
      if (!["E_GONE", "E_NOENT_PID"].includes(error.code)) refused.push(`${error.code} ${JSON.stringify(error.details.reasons ?? error.message)}`);
      at = 1;
      const row = (await engine<{ pid: number; node: number }[]>(cluster, 1, "GET", "/processes")).find((r) => r.pid === target.pid);
      if (row) at = row.node;
    }
    await Promise.race([sleep(least + random() * (most - least)), end]);
  }
  const { status } = await end;
  clearTimeout(guard);
  return { stdout: Buffer.concat(out).toString("latin1"), stderr: Buffer.concat(err).toString("latin1"), status, moves, refused };
}

/** The same without moving. */
export async function runUnmoved(cluster: TestCluster, script: string, o: Pick<MoveOptions, "cwd" | "env"> = {}): Promise<{ stdout: string; status: number }> {
  const done = await cluster.exec(1, ["bash", "-c", script], { ...o, timeoutMs: GUARD_MS });
  return { stdout: Buffer.from(done.stdout).toString("latin1"), status: done.status };
}
