import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { TestCluster } from "./harness.ts";
import { outerPid } from "./move.ts";
import { unlessGone } from "./talk.ts";

/** What a cluster holds on to while nothing moves: what has grown after many moves has leaked. */
export interface Rest {
  /** Of each node's engine, by node. */
  readonly engines: readonly {
    readonly descriptors: readonly string[];
    readonly threads: number;
    /** Without pages of its program and libraries: how many of those are there depends on what it has done in the last seconds. */
    readonly ownMiB: number;
  }[];
  /** Names of all processes of the cluster's hosts, with how many there are. */
  readonly processes: Readonly<Record<string, number>>;
  readonly tasks: number;
  /** Different namespaces that these are in, or will have their children in, and those that an engine has open. */
  readonly namespaces: number;
  /** Of the program that was moved. */
  readonly program: {
    readonly areas: readonly string[];
    readonly descriptors: readonly string[];
    readonly threads: number;
  };
}

/** Until the engines have given back what they need for moves only. */
const QUIET_MS = 4000;
/** Against hangs: a busy machine is late with that. */
const PATIENCE_MS = 60_000;

const names = (dir: string): string[] => unlessGone(() => readdirSync(dir)) ?? [];
const targets = (dir: string): string[] => names(dir).flatMap((name) => unlessGone(() => readlinkSync(`${dir}/${name}`)) ?? []);
const text = (file: string): string => unlessGone(() => readFileSync(file, "utf8")) ?? "";

/** What descriptors are open on, without what tells one pipe or socket from another. */
const kinds = (pid: number): string[] =>
  targets(`/proc/${pid}/fd`)
    .map((t) => t.replace(/\[\d+\]|\d{2,}/g, "#"))
    .sort();

function descendants(roots: readonly number[]): number[] {
  const out: number[] = [];
  for (const queue = [...roots]; queue.length > 0; ) {
    const pid = queue.pop() as number;
    out.push(pid);
    for (const task of names(`/proc/${pid}/task`)) {
      queue.push(...text(`/proc/${pid}/task/${task}/children`).trim().split(" ").filter(Boolean).map(Number));
    }
  }
  return out;
}

/** Areas that the program has mapped, with their rights; which of them the kernel has joined, and where they are, is left to it. */
function areasOf(pid: number): string[] {
  const lines = text(`/proc/${pid}/maps`).trim().split("\n");
  return lines.map((line) => line.replace(/^(\S+) (\S+) \S+ \S+ \S+\s*/, "$1 $2 "));
}

/** Without what is never twice the same to the byte. */
export const exact = (rest: Rest): unknown => ({ ...rest, engines: rest.engines.map(({ ownMiB: _, ...e }) => e) });

/**
 * Waits until all is quiet: until it looks twice the same, or as it did before. What stays different for long is given as it is at last.
 * @param program as its host and as this machine count it
 */
export async function atRest(cluster: TestCluster, program: Numbers, before: Rest | null = null): Promise<Rest> {
  const start = performance.now();
  for (let last = before; ; ) {
    await sleep(QUIET_MS);
    const rest = await look(cluster, program);
    if (last !== null && isDeepStrictEqual(exact(rest), exact(last))) return rest;
    if (performance.now() - start > PATIENCE_MS) return rest;
    last = before ?? rest;
  }
}

interface Numbers {
  readonly pid: number;
  readonly outerPid: number;
}

async function look(cluster: TestCluster, program: Numbers): Promise<Rest> {
  const inits = cluster.state.hosts.flatMap((h) => h.init?.pid ?? []);
  const all = descendants(inits);
  const engines: number[] = [];
  for (const { id } of cluster.state.hosts) {
    const inner = Number(await cluster.sh(id, "cat /run/services/tesela-engine.pid"));
    engines.push(outerPid(cluster, id, inner));
  }
  const processes: Record<string, number> = {};
  for (const pid of all) {
    const name = text(`/proc/${pid}/comm`).trim();
    if (name !== "") processes[name] = (processes[name] ?? 0) + 1;
  }
  const open = engines.flatMap((pid) => targets(`/proc/${pid}/fd`)).filter((t) => /^(pid|mnt|net|time|user|uts|ipc|cgroup):\[/.test(t));
  return {
    engines: engines.map((pid) => ({
      descriptors: kinds(pid),
      threads: names(`/proc/${pid}/task`).length,
      ownMiB: Number(/^RssAnon:\s*(\d+) kB$/m.exec(text(`/proc/${pid}/status`))?.[1] ?? 0) / 1024,
    })),
    processes,
    tasks: all.reduce((sum, pid) => sum + names(`/proc/${pid}/task`).length, 0),
    namespaces: new Set([...all.flatMap((pid) => targets(`/proc/${pid}/ns`)), ...open]).size,
    program: {
      areas: areasOf(program.outerPid),
      descriptors: kinds(program.outerPid),
      threads: names(`/proc/${program.outerPid}/task`).length,
    },
  };
}
