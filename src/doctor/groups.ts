import { findPlaces } from "../engine/mod.ts";
import { degraded, type Files, type Finding, missing, ok } from "./finding.ts";

const WANTED = ["pids", "memory", "cpu"] as const;

/** Control groups that guests can be limited with: where the controllers are, and whether they are passed on to us. */
export function groupFindings(files: Files): Finding[] {
  const mountinfo = files.text("/proc/self/mountinfo");
  const membership = files.text("/proc/self/cgroup");
  if (mountinfo === null || membership === null) return [missing("control groups", "/proc cannot be read", "mount /proc")];
  const places = findPlaces(mountinfo, membership);
  const reached = new Map<string, number>();
  const held: string[] = [];
  for (const { version, controllers, own } of places) {
    for (const c of controllers) {
      if (version === 1 ? files.has(own) : passedOn(files, own, c)) reached.set(c, version);
      else held.push(c);
    }
  }
  const lacking = WANTED.filter((c) => !reached.has(c));
  const found = [...reached].map(([c, version]) => `${c} (version ${version})`).join(", ") || "none";
  if (lacking.length === 0) return [ok("control groups", found)];
  const todo = lacking.some((c) => held.includes(c))
    ? "have them delegated: Delegate=cpu memory pids in the engine's unit (packaging/)"
    : "mount cgroup2 with these controllers";
  return [degraded("control groups", `${found}; without ${lacking.join(", ")} guests are not limited by it`, todo)];
}

/** Version 2: to our own group, or to the one above, in which the engine makes its guests' otherwise. */
function passedOn(files: Files, own: string, controller: string): boolean {
  return [own, own.slice(0, own.lastIndexOf("/"))].some((group) =>
    (files.text(`${group}/cgroup.controllers`) ?? "").split(/\s+/).includes(controller),
  );
}
