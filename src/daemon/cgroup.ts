import { readFileSync } from "node:fs";

/** What the control groups of a process let it use: the least of its own group's limit and those above. Infinity: no limit. */
export interface Quota {
  /** CPUs: 1.5 is 150 ms in each 100 ms. */
  readonly cpus: number;
  /** Bytes. */
  readonly memory: number;
  /** Bytes in use by the group that has the memory limit; 0 without a limit. */
  readonly memoryUsed: number;
}

/** cgroup v1 says "no limit" with the greatest multiple of a page that fits in 63 bits. */
const V1_NONE = 2 ** 60;

interface Place {
  readonly dir: string;
  readonly path: string;
}

/**
 * Reads both hierarchies (cgroups(7)): v2 `cpu.max`, `memory.max`; v1 `cpu.cfs_quota_us`, `memory.limit_in_bytes`.
 * @param root another place of /proc and /sys, for tests
 */
export function readQuota(pid: number | "self" = "self", root = ""): Quota {
  let cpus = Number.POSITIVE_INFINITY;
  let memory = Number.POSITIVE_INFINITY;
  let memoryUsed = 0;
  const limit = (bytes: number, used: number): void => {
    if (bytes < memory) {
      memory = bytes;
      memoryUsed = used;
    }
  };
  for (const { version, controllers, path } of groups(pid, root)) {
    if (version === 2) {
      for (const at of upwards({ dir: `${root}/sys/fs/cgroup`, path })) {
        cpus = Math.min(cpus, cpuMax(read(`${at}/cpu.max`)));
        limit(number(read(`${at}/memory.max`)), usedV2(at));
      }
      continue;
    }
    if (controllers.includes("cpu")) {
      for (const at of upwards({ dir: `${root}/sys/fs/cgroup/cpu`, path })) {
        const quota = number(read(`${at}/cpu.cfs_quota_us`));
        const period = number(read(`${at}/cpu.cfs_period_us`));
        if (quota > 0 && period > 0 && Number.isFinite(quota)) cpus = Math.min(cpus, quota / period);
      }
    }
    if (controllers.includes("memory")) {
      for (const at of upwards({ dir: `${root}/sys/fs/cgroup/memory`, path })) {
        const bytes = number(read(`${at}/memory.limit_in_bytes`));
        if (bytes < V1_NONE) limit(bytes, usedV1(at));
      }
    }
  }
  return { cpus, memory, memoryUsed };
}

function groups(pid: number | "self", root: string): { version: 1 | 2; controllers: string[]; path: string }[] {
  const text = read(`${root}/proc/${pid}/cgroup`) ?? "";
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

/** Page cache that goes away when memory is short does not count as used. */
function usedV2(at: string): number {
  return used(number(read(`${at}/memory.current`)), read(`${at}/memory.stat`), "inactive_file");
}
function usedV1(at: string): number {
  return used(number(read(`${at}/memory.usage_in_bytes`)), read(`${at}/memory.stat`), "total_inactive_file");
}
function used(bytes: number, stat: string | null, field: string): number {
  if (!Number.isFinite(bytes)) return 0;
  const m = new RegExp(`^${field} (\\d+)$`, "m").exec(stat ?? "");
  return Math.max(0, bytes - Number(m?.[1] ?? 0));
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

/** A controller that is not there sets no limit. */
function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (e) {
    const code = (e as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "EACCES" || code === "ENODEV" || code === "ENOTDIR") return null;
    throw e;
  }
}
