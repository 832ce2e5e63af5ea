import { accessSync, constants, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { TeselaError } from "../base/mod.ts";

/** The memory controller as this machine has it: version 1 with a hierarchy of its own, or the unified version 2. */
export interface MemoryController {
  readonly version: 1 | 2;
  /** Directories under which a group might be made, the best first. */
  readonly bases: readonly string[];
}

/** From /proc/self/mountinfo and /proc/self/cgroup, cgroups(7). Null: no memory controller is mounted. */
export function findMemoryController(mountinfo: string, membership: string): MemoryController | null {
  const own = new Map(membership.split("\n").map((line) => [line.split(":")[1] ?? "", line.split(":").slice(2).join(":")]));
  let unified: MemoryController | null = null;
  for (const line of mountinfo.split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , root = "/", at = ""] = before.split(" ");
    const [type, , options = ""] = after.split(" ");
    if (type === "cgroup" && options.split(",").includes("memory")) {
      const path = [...own].find(([controllers]) => controllers.split(",").includes("memory"))?.[1] ?? "/";
      return { version: 1, bases: basesOf(at, root, path) };
    }
    if (type === "cgroup2") unified = { version: 2, bases: basesOf(at, root, own.get("") ?? "/") };
  }
  return unified;
}

/** The top first, as a cluster outlives the session that made it; then, for who may not write there, what lies nearest. */
function basesOf(at: string, root: string, path: string): string[] {
  const inside = root !== "/" && path.startsWith(root) ? path.slice(root.length) : path;
  const parts = inside.split("/").filter((p) => p !== "");
  const bases = parts.map((_, i) => `${at}/${parts.slice(0, i + 1).join("/")}`).reverse();
  return [at, ...bases];
}

function enabled(base: string, file: string): boolean {
  try {
    return readFileSync(`${base}/${file}`, "utf8").split(/\s+/).includes("memory");
  } catch {
    // No such file: not a directory of that hierarchy.
    return false;
  }
}

/** Version 2 gives a group its own limits only if the parent passes the controller on. */
function passesMemory(base: string): boolean {
  if (enabled(base, "cgroup.subtree_control")) return true;
  if (!enabled(base, "cgroup.controllers")) return false;
  try {
    writeFileSync(`${base}/cgroup.subtree_control`, "+memory");
  } catch {
    // A group that has processes itself refuses (EBUSY), and so does one of somebody else.
    return false;
  }
  return enabled(base, "cgroup.subtree_control");
}

/**
 * Makes a group with a limit of `bytes`.
 * @returns its directory
 * @throws TeselaError E_MISSING when this machine or this user has no way to limit memory
 */
export function makeMemoryGroup(controller: MemoryController | null, name: string, bytes: number): string {
  for (const base of controller?.bases ?? []) {
    try {
      accessSync(base, constants.W_OK);
      if (controller?.version === 2 && !passesMemory(base)) continue;
      const dir = `${base}/${name}`;
      mkdirSync(dir, { recursive: true });
      writeFileSync(`${dir}/${controller?.version === 2 ? "memory.max" : "memory.limit_in_bytes"}`, String(bytes));
      return dir;
    } catch (e) {
      if (!["EACCES", "EPERM", "EROFS", "ENOENT"].includes((e as NodeJS.ErrnoException).code ?? "")) throw e;
    }
  }
  throw new TeselaError(
    "E_MISSING",
    "a memory limit needs the memory control group, mounted and writable for this user: leave --memory out",
  );
}

/** Processes leave a group a moment after they ended. */
const REMOVE_TRIES = 100;
const REMOVE_POLL_MS = 20;

export async function removeGroup(dir: string): Promise<void> {
  for (let i = 0; ; i++) {
    try {
      rmdirSync(dir);
      return;
    } catch (e) {
      const code = (e as NodeJS.ErrnoException).code;
      if (code === "ENOENT") return;
      if (code !== "EBUSY" || i === REMOVE_TRIES) throw e;
      await sleep(REMOVE_POLL_MS);
    }
  }
}
