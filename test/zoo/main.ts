/**
 * The program zoo: real programs that are moved about while they run, and must do what they do unmoved.
 *
 *     npm run zoo -- [NAME...] [--seed N] [--moves LEAST-MOST] [--times N] [--turns N] [--list] [--packages] [--sources] [--report FILE] [--json FILE]
 *
 * Exit status 0 when all that ran did the same; what is not installed is named and not run.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { cannot, startCluster } from "../cluster/harness.ts";
import { SEED } from "../cluster/move.ts";
import type { Program } from "./program.ts";
import { line, markdown, type NotRun } from "./report.ts";
import { missing, prepareZoo, type Result, runProgram } from "./run.ts";
import { ZOO } from "./table/mod.ts";

const { values, positionals } = parseArgs({
  options: {
    seed: { type: "string", default: String(SEED) },
    moves: { type: "string", default: "50-500" },
    times: { type: "string", default: "1" },
    turns: { type: "string" },
    list: { type: "boolean", default: false },
    packages: { type: "boolean", default: false },
    sources: { type: "boolean", default: false },
    report: { type: "string" },
    json: { type: "string" },
  },
  allowPositionals: true,
});

function picked(names: readonly string[]): Program[] {
  const unknown = names.filter((n) => !ZOO.some((p) => p.name === n));
  if (unknown.length > 0) {
    console.error(`zoo: there is no ${unknown.join(", ")}; --list names all`);
    process.exit(2);
  }
  const most = Number(values.turns ?? Number.POSITIVE_INFINITY);
  return ZOO.filter((p) => names.length === 0 || names.includes(p.name)).map((p) => ({ ...p, turns: Math.min(p.turns ?? 1, most) }));
}

async function main(): Promise<void> {
  const programs = picked(positionals);
  if (values.list) {
    for (const p of programs) console.log(`${p.name.padEnd(24)} ${p.packages.join(" ")}`);
    return;
  }
  if (values.packages) {
    console.log([...new Set(programs.flatMap((p) => p.packages))].sort().join("\n"));
    return;
  }
  if (values.sources) {
    for (const name of new Set(programs.flatMap((p) => p.sources ?? []))) console.log(name);
    return;
  }
  const why = await cannot();
  if (why !== false) throw new Error(why);
  const [least = Number.NaN, most = least] = values.moves.split("-").map(Number);
  const o = { seed: Number(values.seed), gap: [least, most] as const };
  if (!(o.seed >= 0 && least > 0 && most >= least)) {
    console.error("usage: npm run zoo -- [NAME...] [--seed N] [--moves LEAST-MOST]");
    process.exit(2);
  }
  console.log(`zoo: seed ${o.seed}, a round of moves every ${least} to ${most} ms`);
  const results: Result[] = [];
  const notRun: NotRun[] = [];
  // After each program: a run that is ended early has not been for nothing.
  const save = (): void => {
    if (values.report) writeFileSync(values.report, markdown(results, notRun, o));
    if (values.json) writeFileSync(values.json, JSON.stringify({ seed: o.seed, results: results.map(flat), notRun }, null, 1));
  };
  await using cluster = await startCluster({ n: 3 });
  await prepareZoo(cluster);
  for (let time = 0; time < Number(values.times); time++) {
    for (const p of programs) {
      const lacks = missing(p);
      if (lacks.length > 0) {
        notRun.push({ name: p.name, why: `not installed: ${lacks.join(", ")} (apt-get install ${p.packages.join(" ")})` });
        console.log(`----  ${p.name}: not run, ${notRun.at(-1)?.why}`);
        continue;
      }
      const result = await runProgram(cluster, p, { ...o, seed: o.seed + time });
      results.push(result);
      console.log(line(result));
      save();
      if (!result.ok) process.exitCode = 1;
    }
  }
  const failed = results.filter((r) => !r.ok).map((r) => r.name);
  console.log(`zoo: ${results.length} ran, ${results.length - failed.length} the same, ${notRun.length} not run; seed ${o.seed}`);
  if (failed.length > 0) console.log(`zoo: not the same: ${failed.join(", ")}`);
  save();
}

const flat = (r: Result): unknown => ({
  ...r,
  moves: {
    made: Object.fromEntries(r.moves.made),
    refused: Object.fromEntries(r.moves.refused),
    failed: Object.fromEntries(r.moves.failed),
  },
  homecomings: Object.fromEntries(r.homecomings),
});

if (import.meta.main) await main();
