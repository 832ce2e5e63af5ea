/**
 * The gate, `npm run ok`: format, lint, types, layers, tidy, unit tests. The quick checks run side by side and are
 * silent unless they fail; the unit tests print as they go, their summary last. Exit status 0 only when all hold.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { ROOT } from "./files.ts";

interface Step {
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
}

const module = (path: string): string => join(ROOT, "node_modules", path);

const CHECKS: readonly Step[] = [
  { name: "format and lint", argv: [module("@biomejs/cli-linux-x64/biome"), "ci", "--colors=off", "--max-diagnostics=200"] },
  { name: "types", argv: [module(".bin/tsc"), "--noEmit", "--pretty", "false"] },
  { name: "layers", argv: [process.execPath, "tools/layers.ts"] },
  { name: "tidy", argv: [process.execPath, "tools/tidy.ts"] },
];
const UNIT: Step = { name: "unit tests", argv: [process.execPath, "tools/run-tests.ts", "unit"] };

interface Outcome {
  readonly name: string;
  readonly ok: boolean;
  readonly seconds: number;
  readonly output: string;
}

/** Runs one step; `show` lets its output through as it comes, otherwise it is kept for the case of failure. */
function run({ name, argv: [file, ...args] }: Step, show: boolean): Promise<Outcome> {
  const begin = performance.now();
  return new Promise((resolve) => {
    const child = spawn(file, args, { cwd: ROOT, stdio: ["ignore", show ? "inherit" : "pipe", show ? "inherit" : "pipe"] });
    const parts: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", (part: Buffer) => parts.push(part));
    const end = (ok: boolean, extra = ""): void =>
      resolve({ name, ok, seconds: (performance.now() - begin) / 1000, output: Buffer.concat(parts).toString() + extra });
    child.on("error", (e) => end(false, `${file}: ${e.message}\n`));
    child.on("close", (status) => end(status === 0));
  });
}

const line = (o: Outcome): string => `${o.ok ? "ok  " : "FAIL"}  ${o.name} (${o.seconds.toFixed(1)} s)`;

const quick = await Promise.all(CHECKS.map((step) => run(step, false)));
for (const outcome of quick) {
  console.log(line(outcome));
  if (!outcome.ok) console.log(outcome.output.trimEnd());
}
const unit = await run(UNIT, true);
const all = [...quick, unit];
console.log(`\n${all.map(line).join("\n")}`);
process.exitCode = all.every((o) => o.ok) ? 0 : 1;
