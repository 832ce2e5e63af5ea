/**
 * The cluster tests over and over, until one fails or the time is up: what fails once in a hundred times fails here.
 *
 *     npm run soak -- [--minutes N] [PART-OF-A-PATH...]
 */
import { spawn } from "node:child_process";
import { parseArgs } from "node:util";
import { ROOT } from "./files.ts";

const { values, positionals } = parseArgs({ options: { minutes: { type: "string", default: "60" } }, allowPositionals: true });
const minutes = Number(values.minutes);
if (!(minutes > 0)) {
  console.error("usage: npm run soak -- [--minutes N] [PART-OF-A-PATH...]");
  process.exit(2);
}

/** What the tests of many moves do more of than they do every day. */
const MORE = { TESELA_MOVES: "1500", TESELA_WAITS: "all" };

/** One run of the tests; gives their exit status. */
function round(): Promise<number> {
  const env = { ...MORE, ...process.env };
  const child = spawn(process.execPath, ["tools/run-tests.ts", "cluster", ...positionals], { cwd: ROOT, stdio: "inherit", env });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve(status ?? 1));
  });
}

const end = performance.now() + minutes * 60_000;
let rounds = 0;
do {
  rounds++;
  console.log(`soak: round ${rounds}, ${Math.max(0, Math.round((end - performance.now()) / 60_000))} minutes left`);
  process.exitCode = await round();
} while (process.exitCode === 0 && performance.now() < end);
console.log(`soak: ${rounds} rounds, ${process.exitCode === 0 ? "none failed" : `round ${rounds} failed`}`);
