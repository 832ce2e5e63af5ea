import { PAGE } from "../base/mod.ts";
import { proc } from "../sys/mod.ts";
import { readSmall } from "./read.ts";

/** What is used here of /proc/PID/stat (proc_pid_stat(5)). Times in milliseconds, memory in bytes. */
export interface ProcessStat {
  /** One letter, as ps(1) has it: `R` runs or wants to. */
  readonly state: string;
  readonly ppid: number;
  /** User and system time of all its threads, those that ended too. */
  readonly cpuMs: number;
  readonly threads: number;
  /** Since boot: with the PID it names a process for good. */
  readonly startMs: number;
  readonly rss: number;
}

const FIELDS = 22;
const MS_PER_TICK = 1000 / proc.TICKS_PER_SECOND;

/** Null once it has ended. A zombie is not there any more either: it has no memory and never runs again. */
export function readProcess(pid: number, root = ""): ProcessStat | null {
  const text = readSmall(`${root}/proc/${pid}/stat`);
  if (text === null) return null;
  // The name may hold anything, blanks and brackets too: the fields begin after the last bracket. Field N of the manual is fields[N - 3].
  // Those after the last that is wanted stay as they are: there are as many again.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ", FIELDS);
  const state = fields[0] ?? "?";
  if (state === "Z" || state === "X") return null;
  return {
    state,
    ppid: Number(fields[1] ?? 0),
    cpuMs: (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * MS_PER_TICK,
    threads: Number(fields[17] ?? 1),
    startMs: Number(fields[19] ?? 0) * MS_PER_TICK,
    rss: Number(fields[21] ?? 0) * PAGE,
  };
}

/** Milliseconds since boot as the start times of processes are counted; null where /proc does not say. */
export function uptimeMs(root = ""): number | null {
  const text = readSmall(`${root}/proc/uptime`);
  return text === null ? null : Number.parseFloat(text) * 1000;
}
