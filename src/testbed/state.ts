import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { TeselaError } from "../base/mod.ts";

/** What is known of a local cluster, in `state.json` of its directory. */
export interface ClusterState {
  readonly version: 1;
  readonly name: string;
  /** Directory of everything that the cluster has on disk. */
  readonly dir: string;
  /** Milliseconds of the Unix epoch. */
  readonly created: number;
  /** The machine's boot, since PIDs mean nothing after it. */
  readonly boot: string;
  /** `starting` until every node is a member. */
  readonly phase: "starting" | "up";
  /** The hosts live in a user namespace of an ordinary user. */
  readonly rootless: boolean;
  /** Bytes a host may use, or null. */
  readonly memory: number | null;
  /** Programs of the package that every host runs. */
  readonly services: readonly string[];
  readonly keeper: ProcessId | null;
  readonly hosts: readonly HostState[];
}

export interface HostState {
  readonly id: number;
  readonly name: string;
  readonly address: string;
  /** The core it is pinned to, or null. */
  readonly cpu: number | null;
  /** How far its clocks are ahead of the machine's, when they are not the machine's. */
  readonly clocks?: HostClocks | null;
  /** Directories of its memory control group. */
  readonly cgroups: readonly string[];
  readonly init: ProcessId | null;
}

/** Seconds, which may be negative: as if the host had been booted at another time. */
export interface HostClocks {
  readonly monotonic: number;
  readonly boot: number;
}

/** A process, told from a later one with the same PID by its start in clock ticks since boot. */
export interface ProcessId {
  readonly pid: number;
  readonly start: number;
}

export const DEFAULT_NAME = "tesela";
/** As many as addresses of the /24 that are easy to read. */
export const MAX_HOSTS = 250;
/** What may stand in a certificate, a host name and a path alike; a number could be taken for a node. */
const NAME = /^(?!\d+$)[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;
/** Mount options and the hosts' lists cannot hold these. */
const ODD = /[\s\\:,'"]/;
/** The kernel's name of this boot. */
const BOOT_ID = "/proc/sys/kernel/random/boot_id";

export const bootId = (): string => readFileSync(BOOT_ID, "utf8").trim();
export const isRoot = (): boolean => process.geteuid?.() === 0;

/** Where clusters are: `$TESELA_CLUSTERS`, or `/run/tesela-clusters`, or a place of the user's own. */
export function clustersDir(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const set = env["TESELA_CLUSTERS"];
  if (set) {
    if (!set.startsWith("/")) throw new TeselaError("E_CONFIG", `TESELA_CLUSTERS is '${set}': want an absolute path`);
    if (ODD.test(set)) throw new TeselaError("E_CONFIG", `TESELA_CLUSTERS is '${set}': no spaces, quotes, colons, commas or backslashes`);
    return set.replace(/(?<=.)\/+$/, "");
  }
  if (isRoot()) return "/run/tesela-clusters";
  const runtime = env["XDG_RUNTIME_DIR"];
  return runtime ? `${runtime}/tesela-clusters` : `${tmpdir()}/tesela-clusters-${process.geteuid?.()}`;
}

/** Makes it when it is not there. In a shared /tmp somebody else could have been first. */
export function makeClustersDir(): string {
  const dir = clustersDir();
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const stat = lstatSync(dir);
  if (!stat.isDirectory() || stat.uid !== process.geteuid?.())
    throw new TeselaError("E_CONFIG", `${dir} does not belong to this user: set TESELA_CLUSTERS to a directory of your own`);
  return dir;
}

export function clusterDir(name: string): string {
  if (!NAME.test(name))
    throw new TeselaError("E_USAGE", `cluster name '${name}': want 1 to 32 of a-z, 0-9 and '-', no '-' at the ends, and not only digits`);
  return `${clustersDir()}/${name}`;
}

/** Short and different for every cluster of the machine: for names that the whole machine shares. */
export const clusterTag = (dir: string): string => createHash("sha256").update(dir).digest("hex").slice(0, 8);

/** Null when there is none, or what is there cannot be read: half made, half removed. */
export function readState(name: string): ClusterState | null {
  try {
    const state = JSON.parse(readFileSync(`${clusterDir(name)}/state.json`, "utf8")) as ClusterState;
    return state.version === 1 ? state : null;
  } catch (e) {
    if (e instanceof SyntaxError || (e as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw e;
  }
}

/** @throws TeselaError E_NONODE when there is no such cluster */
export function getState(name: string): ClusterState {
  const state = readState(name);
  if (state) return state;
  throw new TeselaError("E_NONODE", `there is no local cluster '${name}'`, { hint: `tesela cluster up -n 3 --name ${name}` });
}

export function writeState(state: ClusterState): void {
  const path = `${state.dir}/state.json`;
  writeFileSync(`${path}.new`, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Names of all cluster directories, in order; locks begin with a dot. */
export function clusterNames(): string[] {
  try {
    return readdirSync(clustersDir())
      .filter((name) => NAME.test(name))
      .sort();
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw e;
  }
}

/** Fields of /proc/PID/stat after the name, proc_pid_stat(5): state is [0], parent [1], start [19]. */
export function statFields(pid: number): string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    // Gone, or another user's under hidepid: not one of ours.
    return null;
  }
}

const DEAD = new Set(["Z", "X"]);

export function identify(pid: number): ProcessId | null {
  const fields = statFields(pid);
  return fields === null || DEAD.has(fields[0] ?? "X") ? null : { pid, start: Number(fields[19]) };
}

export function isAlive(process: ProcessId | null): process is ProcessId {
  return process !== null && identify(process.pid)?.start === process.start;
}

/** It has a keeper of this boot, though perhaps not all hosts. */
export const isRunning = (state: ClusterState): boolean => state.boot === bootId() && isAlive(state.keeper);

export const allIntact = (state: ClusterState): boolean => isRunning(state) && state.hosts.every((host) => isAlive(host.init));
