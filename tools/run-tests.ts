/**
 * Runs a set of tests under node:test and passes its exit status on.
 *
 *     node tools/run-tests.ts unit|cluster [PART-OF-A-PATH...]
 *
 * `unit` lie beside the code and are quick. `cluster` need local clusters of namespace hosts and run one file at a time, for they
 * measure nothing but share the machine's cores. A file that hangs is ended by its guard, and that is a failure.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { listFiles, ROOT } from "./files.ts";

interface Suite {
  readonly folders: readonly string[];
  readonly concurrency: number;
  /** For a whole file: far above what any file needs, since it is there for hangs and not for slowness. */
  readonly guardSeconds: number;
}

const SUITES: Record<string, Suite> = {
  unit: { folders: ["src", "tools", "test/programs"], concurrency: Math.max(2, availableParallelism()), guardSeconds: 120 },
  cluster: { folders: ["test/cluster"], concurrency: 1, guardSeconds: 1200 },
};

/** Paths of a suite's test files; with filters only those that contain one of them. */
function testFiles(suite: Suite, filters: readonly string[]): string[] {
  const folders = suite.folders.filter((folder) => existsSync(join(ROOT, folder)));
  const files = folders.flatMap((folder) => listFiles(folder, /\.test\.ts$/));
  return filters.length === 0 ? files : files.filter((file) => filters.some((part) => file.includes(part)));
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
  const flags = [
    "--disable-warning=ExperimentalWarning",
    "--test",
    "--test-reporter=spec",
    `--test-concurrency=${suite.concurrency}`,
    `--test-timeout=${suite.guardSeconds * 1000}`,
  ];
  // Inside a test run the runner refuses to start another: this one is meant.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(process.execPath, [...flags, ...files], { cwd: ROOT, stdio: "inherit", env });
  child.on("error", (e) => {
    console.error(`${process.execPath}: ${e.message}`);
    process.exitCode = 1;
  });
  child.on("close", (status) => {
    process.exitCode = status ?? 1;
  });
  // ^C reaches the whole group; the runner then ends its files, and this waits for it to have done so.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
}

main(process.argv[2], process.argv.slice(3));
