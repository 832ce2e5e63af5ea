import { readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { TeselaError } from "../base/mod.ts";
import { removeGroup } from "./cgroups.ts";
import { MARK } from "./enter-host.ts";
import { lockCluster } from "./lock.ts";
import { clusterDir, clusterNames, type ClusterState, identify, isAlive, type ProcessId, readState } from "./state.ts";

const END_TIMEOUT_MS = 10_000;
/** How long strays may take to end by themselves. */
const PATIENCE_MS = 200;
const POLL_MS = 5;

/**
 * Ends a cluster, whole, half made or crashed, and removes all it left.
 * @throws TeselaError E_NONODE when there is nothing of that name
 */
export async function clusterDown(name: string): Promise<void> {
  const dir = clusterDir(name);
  using _ = await lockCluster(name);
  if (!clusterNames().includes(name))
    throw new TeselaError("E_NONODE", `there is no local cluster '${name}'`, { clusters: clusterNames() });
  await removeRemains(name, dir);
}

/** Everything of the cluster, whatever is there; the caller holds its lock. */
export async function removeRemains(name: string, dir: string): Promise<void> {
  const state = readState(name);
  // The keeper first: the kernel then ends every process in its PID namespace and those below, and the keeper last of all, when
  // the others have been reaped. A stopped job's waiter, outside, does that as soon as it goes on; were it killed, the machine's
  // init would have to, and some take their time.
  const keepers = [...(state !== null && isAlive(state.keeper) ? [state.keeper] : []), ...findKeepers(dir)];
  signal(keepers, "SIGKILL");
  const begin = performance.now();
  for (;;) {
    const strays = findStrays(dir);
    const left = [...keepers, ...initsOf(state), ...strays].filter(isAlive);
    if (left.length === 0) break;
    const waited = performance.now() - begin;
    if (waited > END_TIMEOUT_MS) {
      throw new TeselaError("E_TIMEOUT", `cluster '${name}': process ${left.map((p) => p.pid).join(", ")} does not end, though killed`);
    }
    signal(strays, waited < PATIENCE_MS ? "SIGCONT" : "SIGKILL");
    await sleep(POLL_MS);
  }
  for (const group of state?.hosts.flatMap((h) => h.cgroups) ?? []) await removeGroup(group);
  rmSync(dir, { recursive: true, force: true });
}

const initsOf = (state: ClusterState | null): ProcessId[] => state?.hosts.flatMap((h) => (h.init === null ? [] : [h.init])) ?? [];

function signal(processes: readonly ProcessId[], name: NodeJS.Signals): void {
  for (const p of processes) {
    if (!isAlive(p)) continue;
    try {
      process.kill(p.pid, name);
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== "ESRCH") throw e;
    }
  }
}

function processes(matches: (pid: number) => boolean): ProcessId[] {
  const found: ProcessId[] = [];
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid || !matches(pid)) continue;
    const id = identify(pid);
    if (id) found.push(id);
  }
  return found;
}

/** NUL-ended texts of a /proc file; none when it may not be read or the process has gone. */
function texts(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\0");
  } catch {
    return [];
  }
}

/** A keeper by its command line: a killed `up` may not have come to write its PID down. */
function findKeepers(dir: string): ProcessId[] {
  return processes((pid) => {
    const argv = texts(`/proc/${pid}/cmdline`);
    const at = argv.findIndex((arg) => arg.endsWith("/keeper.sh"));
    return at >= 0 && argv[at + 1] === dir;
  });
}

/**
 * Processes on a host of the cluster: they say so, or they have a host's tree, whose root names the cluster's directory. The mark
 * alone means nothing in the caller's own mount namespace.
 */
function findStrays(dir: string): ProcessId[] {
  const mark = `${MARK}=${dir}`;
  const layer = `,upperdir=${dir}/`;
  return processes((pid) => {
    if (mountsOf(pid) === mountsOf(process.pid)) return false;
    return texts(`/proc/${pid}/environ`).includes(mark) || texts(`/proc/${pid}/mountinfo`).some((text) => text.includes(layer));
  });
}

function mountsOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`);
  } catch {
    return null;
  }
}
