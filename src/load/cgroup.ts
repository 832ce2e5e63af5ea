import { numberOf, readSmall } from "./read.ts";

/** What the control groups of a process let it use: the limits of its own group and of those above. Infinity: no limit. */
export interface Quota {
  /** CPUs: 1.5 is 150 ms in each 100 ms. */
  readonly cpus: number;
  /** Bytes: the least limit. */
  readonly memory: number;
  /** Bytes of that which cannot be had any more: in use, and not to be given back, in the fullest of the groups. 0 without a limit. */
  readonly memoryUsed: number;
}

/** cgroup v1 says "no limit" with the greatest multiple of a page that fits in 63 bits. */
const V1_NONE = 2 ** 60;

interface Place {
  readonly dir: string;
  readonly path: string;
}

/**
 * Reads both hierarchies (cgroups(7)): v2 `cpu.max`, `memory.max`, `memory.high`; v1 `cpu.cfs_quota_us`, `memory.limit_in_bytes`.
 * @param root another place of /proc and /sys, for tests
 */
export function readQuota(pid: number | "self" = "self", root = ""): Quota {
  let cpus = Number.POSITIVE_INFINITY;
  let memory = Number.POSITIVE_INFINITY;
  let left = Number.POSITIVE_INFINITY;
  // A group above with a higher limit may have less left, since others are in it, too.
  const limit = (bytes: number, used: number): void => {
    memory = Math.min(memory, bytes);
    left = Math.min(left, Math.max(0, bytes - used));
  };
  for (const { version, controllers, path } of groups(pid, root)) {
    if (version === 2) {
      for (const at of upwards({ dir: `${root}/sys/fs/cgroup`, path })) {
        cpus = Math.min(cpus, cpuMax(readSmall(`${at}/cpu.max`)));
        // Above memory.high programs are slowed down and swapped: that is a limit as well.
        const most = Math.min(number(readSmall(`${at}/memory.max`)), number(readSmall(`${at}/memory.high`)));
        if (Number.isFinite(most)) limit(most, usedV2(at));
      }
      continue;
    }
    if (controllers.includes("cpu")) {
      for (const at of upwards({ dir: `${root}/sys/fs/cgroup/cpu`, path })) {
        const quota = number(readSmall(`${at}/cpu.cfs_quota_us`));
        const period = number(readSmall(`${at}/cpu.cfs_period_us`));
        if (quota > 0 && period > 0 && Number.isFinite(quota)) cpus = Math.min(cpus, quota / period);
      }
    }
    if (controllers.includes("memory")) {
      for (const at of upwards({ dir: `${root}/sys/fs/cgroup/memory`, path })) {
        const bytes = number(readSmall(`${at}/memory.limit_in_bytes`));
        if (bytes < V1_NONE) limit(bytes, usedV1(at));
      }
    }
  }
  return { cpus, memory, memoryUsed: Number.isFinite(memory) ? Math.max(0, memory - left) : 0 };
}

/** The directory of a process's own group in the unified hierarchy, where pressure is told; null when that is the root, or there is none. */
export function ownGroupV2(root = ""): string | null {
  const group = groups("self", root).find((g) => g.version === 2);
  if (group === undefined || group.path === "/" || group.path.includes("..")) return null;
  return (
    [`${root}/sys/fs/cgroup`, `${root}/sys/fs/cgroup/unified`]
      .map((dir) => dir + group.path)
      .find((dir) => readSmall(`${dir}/cgroup.type`) !== null) ?? null
  );
}

function groups(pid: number | "self", root: string): { version: 1 | 2; controllers: string[]; path: string }[] {
  const text = readSmall(`${root}/proc/${pid}/cgroup`) ?? "";
  return text
    .split("\n")
    .map((line) => /^(\d+):([^:]*):(\/.*)$/.exec(line))
    .filter((m) => m !== null)
    .map((m) => ({ version: m[1] === "0" ? 2 : 1, controllers: (m[2] ?? "").split(","), path: m[3] ?? "/" }));
}

/** The directories of a group and of those above; what a namespace hides (`/../..`) counts as the root that is seen. */
function upwards({ dir, path }: Place): string[] {
  const parts = path.includes("..") ? [] : path.split("/").filter((p) => p !== "");
  const all: string[] = [];
  for (let n = parts.length; n >= 0; n--) all.push([dir, ...parts.slice(0, n)].join("/"));
  return all;
}

/** Page cache that goes away when memory is short does not count as used: what has lain unused, and half of what was used again. */
function usedV2(at: string): number {
  const stat = readSmall(`${at}/memory.stat`);
  const slab = numberOf(stat, "slab_reclaimable") ?? 0;
  return Math.max(0, used(number(readSmall(`${at}/memory.current`)), stat, "") - slab / 2);
}
const usedV1 = (at: string): number => used(number(readSmall(`${at}/memory.usage_in_bytes`)), readSmall(`${at}/memory.stat`), "total_");
function used(bytes: number, stat: string | null, prefix: string): number {
  if (!Number.isFinite(bytes)) return 0;
  const inactive = numberOf(stat, `${prefix}inactive_file`) ?? 0;
  const active = numberOf(stat, `${prefix}active_file`) ?? 0;
  return Math.max(0, bytes - inactive - active / 2);
}

/** `max 100000` or `150000 100000`. */
function cpuMax(text: string | null): number {
  const [quota = "max", period = "100000"] = (text ?? "max").trim().split(/\s+/);
  return quota === "max" ? Number.POSITIVE_INFINITY : Number(quota) / Number(period);
}

function number(text: string | null): number {
  const t = text?.trim() ?? "max";
  return t === "max" || t === "" ? Number.POSITIVE_INFINITY : Number(t);
}
