import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Log } from "../base/mod.ts";
import type { GuestLimits } from "./guest-limits.ts";

/** The control group that all guests of a node are in (cgroups(7)): it keeps them from taking the host away from its owner. */

type Controller = "pids" | "memory" | "cpu";
const CONTROLLERS: readonly Controller[] = ["pids", "memory", "cpu"];

/** Of the memory limit, from where guests are slowed down. */
const HIGH = 15 / 16;
const V1_SHARES = 1024;
const V2_WEIGHT = 100;
const SIGKILL = 9;
/** Processes leave a group a moment after they were killed. */
const REMOVE_TRIES = 100;
const REMOVE_POLL_MS = 10;

/** Where the files of one controller are. */
export interface Place {
  readonly version: 1 | 2;
  readonly controllers: readonly Controller[];
  /** This process's own group: ours is made below. */
  readonly own: string;
}

/**
 * Control groups as this process sees them.
 * @param mountinfo /proc/self/mountinfo
 * @param membership /proc/self/cgroup
 */
export function findPlaces(mountinfo: string, membership: string): Place[] {
  const lines = membership.split("\n").map((line) => line.split(":"));
  const own = (controller: string): string | undefined =>
    lines
      .find(([, names = ""]) => names.split(",").includes(controller))
      ?.slice(2)
      .join(":");
  const places: Place[] = [];
  for (const line of mountinfo.split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , root = "/", at = ""] = before.split(" ");
    const [type, , options = ""] = after.split(" ");
    const inside = (path: string): string => {
      const below = root !== "/" && path.startsWith(root) ? path.slice(root.length) : path;
      // What a namespace hides (`/../..`) counts as the root that is seen.
      return `${at}/${below.includes("..") ? "" : below}`.replace(/\/+/g, "/").replace(/\/$/, "");
    };
    if (type === "cgroup") {
      const controllers = CONTROLLERS.filter((c) => options.split(",").includes(c));
      const path = controllers[0] && own(controllers[0]);
      if (path !== undefined) places.push({ version: 1, controllers, own: inside(path) });
    } else if (type === "cgroup2") {
      places.push({ version: 2, controllers: CONTROLLERS, own: inside(own("") ?? "/") });
    }
  }
  // Controllers of a version 1 hierarchy do not work in version 2.
  const old = new Set(places.filter((p) => p.version === 1).flatMap((p) => p.controllers));
  return places
    .map((p) => (p.version === 1 ? p : { ...p, controllers: p.controllers.filter((c) => !old.has(c)) }))
    .filter((p) => p.controllers.length > 0);
}

/** What is written for a limit, to which file. */
function settings(version: 1 | 2, controller: Controller, limits: GuestLimits): [string, number][] {
  const { memory, weight } = limits;
  switch (controller) {
    case "pids":
      return [["pids.max", limits.tasks]];
    case "memory":
      if (version === 1) return [["memory.limit_in_bytes", memory]];
      return [
        ["memory.max", memory],
        ["memory.high", Math.floor(memory * HIGH)],
      ];
    case "cpu":
      return version === 1
        ? [["cpu.shares", Math.max(2, Math.round((V1_SHARES * weight) / 100))]]
        : [["cpu.weight", Math.max(1, Math.round((V2_WEIGHT * weight) / 100))]];
  }
}

/** The guests' control group of one engine, a directory for each hierarchy. */
export class GuestGroup implements AsyncDisposable {
  /** What it limits. */
  readonly limited: ReadonlySet<Controller>;
  readonly dirs: readonly string[];

  private constructor(dirs: readonly string[], limited: ReadonlySet<Controller>) {
    this.dirs = dirs;
    this.limited = limited;
  }

  /**
   * Makes it as far as this machine lets us, and says once what is missing.
   * @param name the same at each start of an engine: what a killed one has left is used again
   * @param places see {@link findPlaces}
   */
  static make(name: string, limits: GuestLimits, places: readonly Place[], log: Log): GuestGroup {
    const dirs: string[] = [];
    const limited = new Set<Controller>();
    const errors = new Set<string>();
    for (const place of places) {
      for (const base of basesOf(place)) {
        try {
          const dir = makeOne(place, base, name, limits, limited);
          if (dir === null) continue;
          dirs.push(dir);
          break;
        } catch (e) {
          errors.add(String((e as NodeJS.ErrnoException).code ?? e));
        }
      }
    }
    const missing = CONTROLLERS.filter((c) => !limited.has(c));
    if (missing.length > 0) {
      log.warn("there is no control group to limit guests with", { missing: missing.join(" "), errors: [...errors].join(" ") });
    }
    return new GuestGroup(dirs, limited);
  }

  /** Whoever that starts is in it too. */
  add(pid: number): void {
    for (const dir of this.dirs) writeFileSync(`${dir}/cgroup.procs`, String(pid));
  }

  /** Bytes of memory that guests may still take; Infinity where nothing limits them. */
  get room(): number {
    for (const dir of this.dirs) {
      for (const [limit, used] of MEMORY_FILES) {
        if (existsSync(`${dir}/${limit}`)) return Math.max(0, readNumber(`${dir}/${limit}`) - readNumber(`${dir}/${used}`));
      }
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Ends all that is in it, and takes it away. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const dir of this.dirs) await remove(dir);
  }
}

const MEMORY_FILES = [
  ["memory.max", "memory.current"],
  ["memory.limit_in_bytes", "memory.usage_in_bytes"],
] as const;
const readNumber = (file: string): number => Number(readFileSync(file, "utf8"));

/** Version 2: a group that has processes itself passes no controllers on. Then ours is made beside, unless that leaves a limit behind. */
function basesOf({ version, own }: Place): string[] {
  if (version === 1 || isLimited(own)) return [own];
  return [own, own.slice(0, own.lastIndexOf("/"))];
}

function isLimited(group: string): boolean {
  try {
    return readFileSync(`${group}/memory.max`, "utf8").trim() !== "max";
  } catch {
    // The topmost group has no such file.
    return false;
  }
}

/** @returns the group, or null when it would limit nothing */
function makeOne(
  { version, controllers }: Place,
  base: string,
  name: string,
  limits: GuestLimits,
  limited: Set<Controller>,
): string | null {
  const usable = version === 1 ? controllers : controllers.filter((c) => passesOn(base, c));
  if (usable.length === 0) return null;
  const dir = `${base}/${name}`;
  mkdirSync(dir, { recursive: true });
  const done = usable.filter((controller) => {
    try {
      for (const [file, value] of settings(version, controller, limits)) writeFileSync(`${dir}/${file}`, String(value));
      return true;
    } catch {
      // A kernel without it, or a container that keeps it to itself: the others may do.
      return false;
    }
  });
  for (const controller of done) limited.add(controller);
  if (done.length > 0) return dir;
  rmdirSync(dir);
  return null;
}

/** Version 2 gives a group limits only if the one above passes the controller on. */
function passesOn(base: string, controller: Controller): boolean {
  const has = (file: string): boolean => readFileSync(`${base}/${file}`, "utf8").trim().split(/\s+/).includes(controller);
  if (has("cgroup.subtree_control")) return true;
  if (!has("cgroup.controllers")) return false;
  try {
    writeFileSync(`${base}/cgroup.subtree_control`, `+${controller}`);
  } catch {
    return false;
  }
  return has("cgroup.subtree_control");
}

async function remove(dir: string): Promise<void> {
  for (let left = REMOVE_TRIES; ; left--) {
    try {
      for (const pid of readFileSync(`${dir}/cgroup.procs`, "utf8").split("\n").map(Number)) if (pid > 0) process.kill(pid, SIGKILL);
      rmdirSync(dir);
      return;
    } catch (e) {
      const { code } = e as NodeJS.ErrnoException;
      if (code === "ENOENT") return;
      if ((code !== "EBUSY" && code !== "ESRCH") || left === 0) throw e;
      await sleep(REMOVE_POLL_MS);
    }
  }
}
