import { PAGE } from "../base/mod.ts";
import { proc } from "../sys/mod.ts";
import { numbersIn, readSmall } from "./read.ts";

/** What is used here of /proc/PID/stat (proc_pid_stat(5)). Times in milliseconds, memory in bytes. */
export interface ProcessStat {
  /** One letter, as ps(1) has it: `R` runs or wants to. */
  readonly state: string;
  readonly ppid: number;
  readonly pgrp: number;
  /** User and system time of all its threads, those that ended too. */
  readonly cpuMs: number;
  /** The same of the children that it has waited for, and of theirs. */
  readonly childMs: number;
  readonly threads: number;
  /** Since boot: with the PID it names a process for good. */
  readonly startMs: number;
  readonly rss: number;
}

const FIELDS = 22;
const MS_PER_TICK = 1000 / proc.TICKS_PER_SECOND;

/** A zombie has no memory and never runs again; only its times are still there, until it is waited for. */
export const hasEnded = ({ state }: ProcessStat): boolean => state === "Z" || state === "X";

/** All processes that this node sees, those that have ended and were not waited for included. */
export function readProcesses(root = ""): Map<number, ProcessStat> {
  const all = new Map<number, ProcessStat>();
  for (const pid of numbersIn(`${root}/proc`)) {
    const stat = readProcess(pid, root);
    if (stat !== null) all.set(pid, stat);
  }
  return all;
}

/** Null once it is not there any more. */
export function readProcess(pid: number, root = ""): ProcessStat | null {
  const text = readSmall(`${root}/proc/${pid}/stat`);
  if (text === null) return null;
  // The name may hold anything, blanks and brackets too: the fields begin after the last bracket. Field N of the manual is fields[N - 3].
  // Those after the last that is wanted stay as they are: there are as many again.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ", FIELDS);
  return {
    state: fields[0] ?? "?",
    ppid: Number(fields[1] ?? 0),
    pgrp: Number(fields[2] ?? 0),
    cpuMs: (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * MS_PER_TICK,
    childMs: (Number(fields[13] ?? 0) + Number(fields[14] ?? 0)) * MS_PER_TICK,
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
