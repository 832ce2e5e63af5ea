import { readFileSync } from "node:fs";
import { glibcBits, programFeatures } from "../abi/mod.ts";
import { KiB } from "../base/mod.ts";
import { readQuota } from "./cgroup.ts";
import { countRunnable } from "./runnable.ts";

/** The reference processor's speed; every node counts as one until a yardstick measures it. */
export const STANDARD_SPEED = 10_000;

/** What a node can offer, and how busy it is: the changing part of a row of `tesela nodes`. */
export interface NodeFacts {
  readonly cpus: number;
  readonly speed: number;
  /** Runnable processes for each standard processor, as told to others. */
  readonly load: number;
  /** Bytes. */
  readonly memTotal: number;
  readonly memFree: number;
  /** CPU features that glibc chooses by: bits of GLIBC_FEATURES. */
  readonly cpu?: number | undefined;
}

/** Samples this machine, or this namespace host: by its own /proc view, affinity and control groups. */
export class FactSampler {
  private readonly root: string;
  private readonly cpu: number;
  private told = 0;
  private own = 0;
  private first = true;

  /** @param root another place of /proc and /sys, for tests */
  constructor(root = "") {
    this.root = root;
    this.cpu = glibcBits(readFeatures(root));
  }

  /** The load by the average for this node's own decisions, as of the last sample. */
  get local(): number {
    return this.own;
  }

  /** Call once a second: the load is an average that depends on it. */
  sample(): NodeFacts {
    const quota = readQuota("self", this.root);
    const cpus = Math.min(affinityCpus(this.root), quota.cpus);
    const memory = readMemory(this.root);
    const memTotal = Math.min(memory.total, quota.memory);
    const memFree = Math.max(0, Math.min(memory.available, quota.memory - quota.memoryUsed));
    const now = (countRunnable(this.root) * STANDARD_SPEED) / (STANDARD_SPEED * cpus);
    this.told = this.first ? now : toldLoad(this.told, now);
    this.own = this.first ? now : localLoad(this.own, now);
    this.first = false;
    return { cpus, speed: STANDARD_SPEED, cpu: this.cpu, load: Math.round(this.told * 1000) / 1000, memTotal, memFree };
  }
}

/** What a node decides by itself rises slowly and falls at once, so that a short burst sends nobody away (as MOSIX). */
export function localLoad(old: number, now: number): number {
  return now > old ? (5 * old + 3 * now) / 8 : now;
}

/** What others hear rises at once and falls slowly, so that nobody sends work to a node that is about to be busy (as MOSIX). */
export function toldLoad(old: number, now: number): number {
  return now >= old ? now : (7 * old + now) / 8;
}

function readFeatures(root: string): Set<string> {
  return programFeatures(/^flags\s*:\s*(.*)$/m.exec(readFileSync(`${root}/proc/cpuinfo`, "latin1"))?.[1] ?? "");
}

/** CPUs that sched_setaffinity(2) allows this process. */
function affinityCpus(root: string): number {
  const status = readFileSync(`${root}/proc/self/status`, "latin1");
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? "0";
  return countList(list);
}

/** `0-3,8` is 5. */
export function countList(list: string): number {
  let n = 0;
  for (const part of list.split(",")) {
    const [first = "0", last = first] = part.split("-");
    n += Number(last) - Number(first) + 1;
  }
  return n;
}

function readMemory(root: string): { total: number; available: number } {
  const text = readFileSync(`${root}/proc/meminfo`, "latin1");
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(text)?.[1] ?? 0) * KiB;
  return { total: field("MemTotal"), available: field("MemAvailable") };
}
