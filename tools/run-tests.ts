/**
 * Runs a set of tests under node:test and passes its exit status on.
 *
 *     node tools/run-tests.ts unit|cluster|vm [PART-OF-A-PATH...]
 *
 * `unit` lie beside the code and are quick. `cluster` need local clusters of namespace hosts and run one file at a time, for they
 * measure nothing but share the machine's cores. A file that hangs is ended by its guard, and that is a failure.
 */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { listFiles, ROOT } from "./files.ts";

interface Suite {
  readonly folders: readonly string[];
  readonly concurrency: number;
  /** For a whole file: far above what any file needs on a busy machine, and more than one of its tests may take, since it is there for hangs. */
  readonly guardSeconds: number;
}

const LOOK_SECONDS = 2;
const GRACE_SECONDS = 6;

const SUITES: Record<string, Suite> = {
  unit: { folders: ["src", "tools", "test/programs"], concurrency: Math.max(2, availableParallelism()), guardSeconds: 400 },
  cluster: { folders: ["test/cluster", "test/zoo"], concurrency: 1, guardSeconds: 1200 },
  vm: { folders: ["test/vm"], concurrency: 1, guardSeconds: 1800 },
};

/** Paths of a suite's test files; with filters only those that contain one of them. */
function testFiles(suite: Suite, filters: readonly string[]): string[] {
  const files = suite.folders.flatMap((folder) => listFiles(folder, /\.test\.ts$/));
  return filters.length === 0 ? files : files.filter((file) => filters.some((part) => file.includes(part)));
}

/** The result, or null when the process it is about is not there any more. */
function unlessGone<T>(look: () => T): T | null {
  try {
    return look();
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return null;
    throw e;
  }
}

/** PIDs of a process's children. */
function childrenOf(parent: number): number[] {
  const pids = readdirSync("/proc").filter((entry) => /^\d+$/.test(entry));
  return pids.map(Number).filter((pid) => {
    const stat = unlessGone(() => readFileSync(`/proc/${pid}/stat`, "utf8")) ?? "";
    // The name, in brackets, may hold anything; after it come the state and the parent.
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === parent;
  });
}

/**
 * Ends test files, which are the runner's children, that run for too long: by SIGTERM, then for sure. From outside, because a file that
 * hangs in a blocking call cannot look at its own clock.
 */
function guard(runner: number, seconds: number): NodeJS.Timeout {
  const since = new Map<number, number>();
  return setInterval(() => {
    const now = performance.now() / 1000;
    const alive = childrenOf(runner);
    for (const pid of since.keys()) if (!alive.includes(pid)) since.delete(pid);
    for (const pid of alive) {
      const age = now - (since.get(pid) ?? now);
      since.set(pid, now - age);
      if (age < seconds) continue;
      console.error(`run-tests: a test file (PID ${pid}) hangs: it has run for ${Math.round(age)} s and is ended`);
      unlessGone(() => process.kill(pid, age < seconds + GRACE_SECONDS ? "SIGTERM" : "SIGKILL"));
    }
  }, LOOK_SECONDS * 1000);
}

function main(name: string | undefined, filters: readonly string[]): void {
  const suite = SUITES[name ?? ""];
  if (suite === undefined) {
    console.error(`usage: run-tests.ts ${Object.keys(SUITES).join("|")} [PART-OF-A-PATH...]`);
    process.exitCode = 2;
    return;
  }
  const files = testFiles(suite, filters);
  if (files.length === 0) {
    console.error(`no ${name} tests${filters.length === 0 ? "" : ` match ${filters.join(" ")}`}`);
    process.exitCode = 1;
    return;
  }
  const flags = ["--disable-warning=ExperimentalWarning", "--test", "--test-reporter=spec", `--test-concurrency=${suite.concurrency}`];
  // Inside a test run the runner refuses to start another: this one is meant.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(process.execPath, [...flags, ...files], { cwd: ROOT, stdio: "inherit", env });
  const watch = guard(child.pid ?? -1, suite.guardSeconds);
  child.on("error", (e) => {
    console.error(`${process.execPath}: ${e.message}`);
    process.exitCode = 1;
  });
  child.on("close", (status) => {
    clearInterval(watch);
    process.exitCode = status ?? 1;
  });
  // ^C reaches the whole group; the runner then ends its files, and this waits for it to have done so.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
}

main(process.argv[2], process.argv.slice(3));
