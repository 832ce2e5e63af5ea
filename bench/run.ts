/**
 * Measures what docs/bench.md explains, prints a table and writes it as JSON to bench/results/.
 *
 *     npm run bench -- [FIGURE...] [--rounds N]        figures: those of FIGURES; all unless named
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { cannot } from "../test/cluster/harness.ts";
import { balance } from "./balance.ts";
import { births } from "./births.ts";
import { calls } from "./calls.ts";
import { classes } from "./classes.ts";
import { freeze } from "./freeze.ts";
import { type Figure, Lab, type Row } from "./lab.ts";
import { memory } from "./memory.ts";
import { threads } from "./threads.ts";
import { through } from "./through.ts";
import { tracer } from "./tracer.ts";
import { unmoved } from "./unmoved.ts";

/** Memory first, of engines that have done nothing yet; each figure has a cluster of its own. */
const FIGURES: Readonly<Record<string, Figure>> = { memory, calls, classes, births, through, freeze, threads, unmoved, tracer, balance };

const { values, positionals } = parseArgs({ allowPositionals: true, options: { rounds: { type: "string", default: "5" } } });
const unknown = positionals.find((name) => !(name in FIGURES));
const reason = unknown ? `no figure '${unknown}': there are ${Object.keys(FIGURES).join(", ")}` : await cannot();
if (reason) {
  console.error(`bench: ${reason}`);
  process.exit(1);
}

const results: Record<string, Row[]> = {};
for (const [name, figure] of Object.entries(FIGURES)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  await using lab = await Lab.open(figure.programs);
  const rows = await figure.measure(lab, Number(values.rounds));
  results[name] = rows;
  console.log(`\n${figure.title}`);
  console.table(rows.map(printed));
}

const dir = fileURLToPath(new URL("results/", import.meta.url));
mkdirSync(dir, { recursive: true });
const machine = { cpu: cpus()[0]?.model, cpus: cpus().length, memory: totalmem(), kernel: release(), node: process.version };
const date = new Date().toISOString();
const text = `${JSON.stringify({ date, machine, results }, null, 2)}\n`;
for (const file of [`${date.replaceAll(":", "-")}.json`, "last.json"]) writeFileSync(`${dir}${file}`, text);

function printed({ what, unit, value, limits, ratios, target }: Row): Record<string, string | number> {
  return {
    what,
    [unit]: value,
    ...Object.fromEntries(
      Object.keys(limits).flatMap((name) => [
        [name, limits[name] ?? ""],
        [`x ${name}`, ratios[name] ?? ""],
      ]),
    ),
    ...(target && { target: ratios[target.of] === undefined ? `<= ${target.at}` : `<= ${target.at} x ${target.of}` }),
  };
}
