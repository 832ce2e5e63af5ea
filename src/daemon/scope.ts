import { readlinkSync } from "node:fs";
import { proc } from "../sys/mod.ts";
import type { LiveSettings } from "./live-settings.ts";
import { isSystem } from "./system.ts";

/** Which processes may move by themselves though nobody started them with `tesela run`. */
export interface Scope {
  /** Every user process. */
  readonly all: boolean;
  /** Programs, as /proc/PID/exe names them. */
  readonly programs: ReadonlySet<string>;
  /** Those that stay out of it in any case. */
  readonly spared: (pid: number, program: string) => boolean;
  /** The daemons of this node: neither they nor what descends from them (guests) belongs to whoever started them. */
  readonly daemons: () => readonly number[];
}

/** Only who is meant by name. */
export const NARROW: Scope = { all: false, programs: new Set(), spared: () => true, daemons: () => [] };

/** What the scope has a process in for: `list` until it ends, `all` as long as that holds; null for neither. */
export function wantedBy(scope: Scope, pid: number, program: string | null): "list" | "all" | null {
  if (program === null || program === "") return null;
  const why = scope.programs.has(program) ? "list" : scope.all ? "all" : null;
  return why === null || scope.spared(pid, program) ? null : why;
}

const DELETED = / \(deleted\)$/;

/** The program that a process runs; null when it has ended, and for kernel threads, which run none. */
export function programOf(pid: number): string | null {
  try {
    // An upgrade puts another file in its place: it still is the program of that name.
    return readlinkSync(`/proc/${pid}/exe`).replace(DELETED, "");
  } catch {
    // Ended, or not for us to see (EACCES as an ordinary user): then it is not ours to move either.
    return null;
  }
}

/** The scope that the settings make. @param enginePid whose children are guests, and null without an engine */
export function scopeOf(settings: LiveSettings, enginePid: () => number | null, self = process.pid): Scope {
  // Every program of Tesela's runs on the Node that the package brings.
  const node = programOf(process.pid);
  const daemons = (): number[] => [self, enginePid() ?? self];
  return {
    get all() {
      return settings.now.policy.scope === "all";
    },
    get programs() {
      return settings.programs;
    },
    spared: (pid, program) => program === node || isSystem(pid, daemons()) || isHeld(pid),
    daemons,
  };
}

/** Somebody traces it: a debugger, or an engine of this machine whose guest it is, and then only its home may move it. */
function isHeld(pid: number): boolean {
  try {
    return (proc.statusField(proc.readStatus(pid), "TracerPid") ?? "0") !== "0";
  } catch {
    // Ended: nothing to move.
    return true;
  }
}
