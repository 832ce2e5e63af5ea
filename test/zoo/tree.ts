import { readdirSync, readFileSync } from "node:fs";
import type { TestCluster } from "../cluster/harness.ts";

/** The processes of a program: all that it has started, also those that have become daemons. */

export interface Member {
  /** As its host counts. */
  readonly pid: number;
  /** As this machine counts. */
  readonly outerPid: number;
  readonly name: string;
}

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // It has ended.
    return "";
  }
};

function childrenOf(outerPid: number): number[] {
  let tasks: string[];
  try {
    tasks = readdirSync(`/proc/${outerPid}/task`);
  } catch {
    return [];
  }
  return tasks.flatMap((t) => read(`/proc/${outerPid}/task/${t}/children`).trim().split(" ").filter(Boolean).map(Number));
}

/** Null for what has ended. */
function member(outerPid: number): Member | null {
  const status = read(`/proc/${outerPid}/status`);
  const name = /^Name:\t(.*)$/m.exec(status)?.[1];
  const pid = Number(/^NSpid:\t(.*)$/m.exec(status)?.[1]?.split("\t").at(-1));
  return name === undefined || !(pid > 0) || /^State:\t[ZX]/m.test(status) ? null : { pid, outerPid, name };
}

/** Looks at a host's processes: whatever was there when this was made is not the program's. */
export class Tree {
  private readonly init: number;
  private readonly others: ReadonlySet<number>;

  constructor(cluster: TestCluster, node: number) {
    this.init = cluster.state.hosts.find((h) => h.id === node)?.init?.pid ?? -1;
    this.others = new Set(childrenOf(this.init));
  }

  /** The program, what descends from it, and what init has adopted; parents first. */
  members(program: number): Member[] {
    const found: Member[] = [];
    const queue = [program, ...childrenOf(this.init).filter((pid) => !this.others.has(pid))];
    const seen = new Set<number>();
    for (let pid = queue.shift(); pid !== undefined; pid = queue.shift()) {
      if (seen.has(pid)) continue;
      seen.add(pid);
      const m = member(pid);
      if (m) found.push(m);
      queue.push(...childrenOf(pid));
    }
    return found;
  }

  /** Ends what is left, by PID. @returns the names of what there was */
  end(program: number): string[] {
    const left = this.members(program);
    for (const { outerPid } of left) {
      try {
        process.kill(outerPid, "SIGKILL");
      } catch {
        // It has just ended by itself.
      }
    }
    return left.map((m) => m.name);
  }
}

/** What a process is at, for a report of one that hangs. */
export function glimpse({ pid, outerPid, name }: Member, node: number): string {
  const state = /^State:\t(\S)/m.exec(read(`/proc/${outerPid}/status`))?.[1] ?? "?";
  const call = read(`/proc/${outerPid}/syscall`).trim();
  const command = read(`/proc/${outerPid}/cmdline`).replaceAll("\0", " ").slice(0, 80);
  return `${pid} ${name} on node ${node}: state ${state}, ${read(`/proc/${outerPid}/wchan`)}, call ${call.split(" ").slice(0, 4).join(" ")}; ${command}`;
}
