import { existsSync, readdirSync, readFileSync, readlinkSync, readSync } from "node:fs";
import { TeselaError } from "../base/mod.ts";
import { isOwnViewFile } from "../forward/mod.ts";
import { libc, proc, SysError } from "../sys/mod.ts";

/**
 * Why a process may not leave home now, told from /proc without touching it. The mappings have reasons of their own
 * (src/image/areas.ts); what shows only once it is stopped (32-bit code, CPU timers) is found then.
 */
type Check = (p: Facts) => string | null;

interface Facts {
  readonly pid: number;
  readonly stat: proc.Stat;
  readonly status: string;
  /** Its threads. */
  readonly tasks: readonly { readonly tid: number; readonly stat: proc.Stat; readonly status: string }[];
  readonly fds: readonly { fd: number; target: string }[];
}

const SYS_KCMP = 312;
const [KCMP_VM, KCMP_FILES] = [1, 2];
/** SCHED_OTHER, SCHED_BATCH and SCHED_IDLE are what ordinary programs run under (sched(7)). */
const ORDINARY_POLICIES: ReadonlySet<bigint> = new Set([0n, 3n, 5n]);
const PF_KTHREAD = 0x00200000n;
const PF_EXITING = 0x00000004n;

/** Descriptors whose kernel object watches or works on the process's own memory. */
const BOUND_FDS: readonly (readonly [string, string])[] = [
  ["anon_inode:[io_uring]", "io_uring"],
  ["anon_inode:[userfaultfd]", "userfaultfd"],
  ["anon_inode:[perf_event]", "perf_event"],
];

const traced: Check = ({ status }) => (Number(proc.statusField(status, "TracerPid") ?? 0) !== 0 ? "traced" : null);
/** It goes through all processes. */
const tracer: Check = ({ pid }) => (tracesSomebody(pid) ? "ptrace" : null);

const CHECKS: readonly Check[] = [
  ({ stat }) => ((stat.field(9) & PF_KTHREAD) !== 0n ? "system" : null),
  (p) => (p.stat.state === "Z" || p.stat.state === "X" ? (goesOn(p) ? "leader_exit" : "ended") : null),
  ({ stat }) => (stat.state === "T" ? "stopped" : null),
  ({ pid }) => (is32Bit(pid) ? "code_32bit" : null),
  traced,
  ({ tasks }) => (tasks.some((t) => Number(proc.statusField(t.status, "Seccomp") ?? 0) !== 0) ? "seccomp" : null),
  ({ status }) => (Number.parseInt(proc.statusField(status, "VmLck") ?? "0", 10) > 0 ? "mem_lock" : null),
  ({ tasks }) => (tasks.every((t) => ORDINARY_POLICIES.has(t.stat.field(41))) ? null : "rt_sched"),
  ({ pid, tasks }) => (tasks.some((t) => t.tid !== pid && !sharesFiles(pid, t.tid)) ? "unshared_files" : null),
  ({ fds }) => BOUND_FDS.find(([target]) => fds.some((f) => f.target === target))?.[1] ?? null,
  // It may have been opened here and be read there, where the same file would tell of the deputy.
  ({ pid, fds }) => (fds.some((f) => isOwnViewFile(f.target, pid)) ? "own_view" : null),
  ({ pid }) => (hasCpuLimit(pid) ? "cpu_limit" : null),
  ({ pid }) => (hasOwnClocks(pid) ? "time_namespace" : null),
  ({ pid }) => (oddPersonality(pid) ? "personality" : null),
  ({ pid }) => (sharesMemory(pid) ? "clone_vm" : null),
  tracer,
  ({ pid }) => (cpuTimers(pid) ? "cpu_timer" : null),
];

/** Not asked about a frozen process: we trace it ourselves, and what it would trace goes on being traced from home. */
const SETTLED: ReadonlySet<Check> = new Set([traced, tracer]);

const EXIT_CODE_FIELD = 52;
/** Of a wait status: a signal was the end (wait(2)). */
const BY_SIGNAL = 0x7fn;
/**
 * Whether others go on without a first thread that has ended. Where all of the process ends each of its threads does when its turn comes,
 * which may be a while after the first's; what ends one by a signal ends all (signal(7)).
 */
function goesOn({ pid, stat, tasks }: Facts): boolean {
  return (stat.field(EXIT_CODE_FIELD) & BY_SIGNAL) === 0n && tasks.some((t) => t.tid !== pid && !proc.isOver(t.stat));
}

const EI_CLASS = 4;
const ELFCLASS32 = 1;
/** By its program's ELF header (elf(5)); what is found stopped in 32-bit code is told later. */
function is32Bit(pid: number): boolean {
  const head = Buffer.alloc(EI_CLASS + 1);
  try {
    using exe = proc.openProc(pid, "exe");
    return readSync(exe.fd, head, 0, head.length, 0) === head.length && head[EI_CLASS] === ELFCLASS32;
  } catch {
    // A kernel thread has no program.
    return false;
  }
}

/** A limit on CPU time counts what one kernel sees: not what is used on several nodes together. */
function hasCpuLimit(pid: number): boolean {
  try {
    return (proc.readLimits(pid).get("Max cpu time")?.[0] ?? proc.NO_LIMIT) !== proc.NO_LIMIT;
  } catch {
    return false;
  }
}

/** In a time namespace that is not the engine's, where home's clocks are not its (time_namespaces(7)). */
function hasOwnClocks(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/time`) !== readlinkSync("/proc/self/ns/time");
  } catch {
    // No such namespaces, or it is gone: then that is told.
    return false;
  }
}

const ADDR_NO_RANDOMIZE = 0x0040000;
/** Other execution domains map memory and name the machine in ways of their own (personality(2)). */
function oddPersonality(pid: number): boolean {
  try {
    return (Number.parseInt(readFileSync(`/proc/${pid}/personality`, "utf8"), 16) & ~ADDR_NO_RANDOMIZE) !== 0;
  } catch {
    return false;
  }
}

/**
 * The named reasons, all of them; empty when nothing speaks against it. `frozen`: asked about a process that we have stopped, quickly,
 * for what it may have begun since it was asked about before. @throws TeselaError E_NOENT_PID
 */
export function refusals(pid: number, frozen: boolean): string[] {
  let facts: Facts;
  try {
    facts = { pid, stat: proc.readStat(pid), status: proc.readStatus(pid), tasks: listTasks(pid), fds: listFds(pid) };
  } catch (e) {
    throw noProcess(pid, e);
  }
  const checks = frozen ? CHECKS.filter((check) => !SETTLED.has(check)) : CHECKS;
  try {
    return checks.map((check) => check(facts)).filter((r): r is string => r !== null);
  } catch (e) {
    // It was looked at while it ended.
    if (!proc.exists(pid)) throw noProcess(pid, e);
    throw e;
  }
}

export const noProcess = (pid: number, cause: unknown): TeselaError =>
  new TeselaError("E_NOENT_PID", `no process ${pid} on this node`, { pid }, { cause });

function listTasks(pid: number): Facts["tasks"][number][] {
  return proc.listThreads(pid).flatMap((tid) => {
    try {
      const task = `${pid}/task/${tid}`;
      return [{ tid, stat: proc.readStat(task), status: proc.readStatus(task) }];
    } catch {
      // It has just ended.
      return [];
    }
  });
}

/** A thread may have taken a table of its own (unshare(2), CLONE_FILES), which is not where the others' deputies have their sockets. */
function sharesFiles(pid: number, tid: number): boolean {
  try {
    if (libc.syscall("kcmp", SYS_KCMP, pid, tid, KCMP_FILES, 0, 0) === 0) return true;
  } catch (e) {
    if (!(e instanceof SysError)) throw e;
    return e.code === "ESRCH";
  }
  // Who is about to end has given its table back already.
  return isEnding(`${pid}/task/${tid}`) || isEnding(`${pid}/task/${pid}`);
}

function isEnding(task: string): boolean {
  try {
    return (proc.readStat(task).field(9) & PF_EXITING) !== 0n;
  } catch {
    return true;
  }
}

/** Kernel threads and ended processes have no table. */
function listFds(pid: number): { fd: number; target: string }[] {
  try {
    return proc.listFds(pid);
  } catch {
    return [];
  }
}

/** Another process on the same memory: a vfork under way, or clone(2) with CLONE_VM. Relatives are where they are found. */
function sharesMemory(pid: number): boolean {
  const stat = proc.readStat(pid);
  const relatives = new Set<number>([stat.ppid, ...children(pid), ...children(stat.ppid)]);
  relatives.delete(pid);
  for (const other of relatives) {
    if (other <= 0) continue;
    try {
      // Two that have ended are alike in that they have none.
      if (libc.syscall("kcmp", SYS_KCMP, pid, other, KCMP_VM, 0, 0) === 0 && proc.exists(pid)) return true;
    } catch (e) {
      // A relative that ends meanwhile, or that we may not look at, cannot be ours to share with.
      if (!(e instanceof SysError)) throw e;
    }
  }
  return false;
}

function children(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((t) =>
      readFileSync(`/proc/${pid}/task/${t}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}

/** A debugger stays beside what it debugs. Only relatives are looked at: attaching to others needs rights or luck. */
function tracesSomebody(pid: number): boolean {
  return readdirSync("/proc").some((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      const tracer = Number(proc.statusField(proc.readStatus(name), "TracerPid") ?? 0);
      return tracer === pid || (tracer !== 0 && existsSync(`/proc/${pid}/task/${tracer}`));
    } catch {
      return false;
    }
  });
}

/** POSIX timers on CPU-time clocks, which are negative numbers or 2 and 3 (proc(5), /proc/PID/timers). */
function cpuTimers(pid: number): boolean {
  try {
    return [...readFileSync(`/proc/${pid}/timers`, "utf8").matchAll(/^ClockID:\s*(-?\d+)/gm)].some(
      ([, id]) => Number(id) < 0 || id === "2" || id === "3",
    );
  } catch {
    return false;
  }
}

export function refuse(pid: number, reasons: readonly string[]): never {
  throw new TeselaError("E_CANTMOVE", `process ${pid} cannot leave home now: ${reasons.join(", ")}`, { reasons: [...reasons] });
}
