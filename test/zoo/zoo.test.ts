/**
 * The quick part of the program zoo: whole trees of processes moved about while they run.
 *
 * TESELA_SEED repeats the choices of a run, TESELA_CASES=make,perl picks programs.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { cannot, startCluster, type TestCluster } from "../cluster/harness.ts";
import { SEED } from "../cluster/move.ts";
import { total } from "./mover.ts";
import { line } from "./report.ts";
import { missing, prepareZoo, runProgram } from "./run.ts";
import { ZOO } from "./table/mod.ts";

const skip = await cannot();
const wanted = process.env.TESELA_CASES?.split(",");
/** What a program is compared by does not depend on how often it is moved; that some are moved at all is asked of all together. */
const LEAST_MOVES = 10;
let cluster: TestCluster;
let moves = 0;

before(async () => {
  if (skip) return;
  cluster = await startCluster({ n: 3 });
  await prepareZoo(cluster);
});
after(async () => await cluster?.[Symbol.asyncDispose]());

for (const p of ZOO) {
  if (!p.fast || (wanted && !wanted.includes(p.name))) continue;
  test(`${p.name}: moved about with all its processes, it does what it does unmoved`, { skip }, async (t) => {
    const lacks = missing(p);
    if (lacks.length > 0) {
      t.skip(`not installed: ${lacks.join(", ")}`);
      return;
    }
    const result = await runProgram(cluster, p, { seed: SEED, gap: [50, 500] });
    moves += total(result.moves.made);
    t.diagnostic(`seed ${SEED}`);
    for (const part of line(result).split("\n")) t.diagnostic(part);
    assert(result.ok, line(result));
  });
}

test("the programs of the zoo have been moved", { skip: skip || (wanted ? "only some of them were asked for" : false) }, () => {
  assert(moves >= LEAST_MOVES, `only ${moves} moves`);
});

test("programs of the zoo have names of their own, and say what they need", () => {
  assert.deepEqual(
    ZOO.map((p) => p.name).filter((name, i, all) => all.indexOf(name) !== i),
    [],
  );
  for (const p of ZOO) assert(p.needs.length > 0 && p.packages.length > 0 && !p.name.includes("|"), p.name);
});
