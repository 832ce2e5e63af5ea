import assert from "node:assert/strict";
import { test } from "node:test";
import { Ranking } from "./ranking.ts";
import { reportText } from "./report.ts";
import { readScenario, type Scenario } from "./scenario.ts";
import { loadScenario } from "./scenarios.ts";
import { simulate } from "./simulate.ts";

const scenario = (o: object): Scenario => readScenario(JSON.stringify({ nodes: [{ count: 20 }], ...o }), "test");
const SPREADS = { kind: "batch", on: 0.1, each: 10, life: { uniform: [40, 60] } };

test("the same seed gives the same report, whatever gossip it is", () => {
  const s = scenario({ work: [SPREADS], network: { loss: 0.1 } });
  for (const gossip of ["members", "vectors"] as const) {
    const [one, two] = [simulate(s, { gossip }), simulate(s, { gossip })];
    assert.deepEqual(one.report, two.report);
    assert.match(reportText(one.report), /^tesela .*\nomniscient .*\nstatic /m);
  }
  const [one, two] = [simulate(s), simulate({ ...s, seed: 2 })];
  assert.notDeepEqual(one.report, two.report);
});

test("twenty long processes of two nodes spread over twenty", () => {
  const { report } = simulate(scenario({ work: [SPREADS] }));
  const [tesela, best, , home] = [...report.outcomes, ...simulate(scenario({ work: [SPREADS] }), { policies: ["home"] }).report.outcomes];
  assert.ok(tesela !== undefined && best !== undefined && home !== undefined);
  assert.equal(tesela.unfinished, 0);
  assert.ok(tesela.makespan < home.makespan / 4, `${tesela.makespan} s, at home ${home.makespan} s`);
  assert.ok(tesela.moves >= 18, `${tesela.moves} moves`);
  assert.ok(best.makespan <= 60.001 && best.makespan <= tesela.makespan);
});

test("a network that loses a third of all datagrams, or is parted for a while, still spreads work", () => {
  for (const network of [{ loss: 0.3 }, { partitions: [{ from: 0, until: 20, share: 0.5 }] }]) {
    const [tesela, home] = simulate(scenario({ work: [SPREADS], network }), { policies: ["tesela", "home"] }).report.outcomes;
    assert.ok(tesela !== undefined && home !== undefined);
    assert.ok(tesela.makespan < home.makespan / 3, `${tesela.makespan} s, at home ${home.makespan} s`);
  }
});

test("programs that outgrow a node are moved before it swaps", () => {
  const grows = { kind: "batch", on: 0.1, each: 2, life: 30, memory: "64 MiB", growth: "40 MiB", peak: "1200 MiB" };
  const s = scenario({ nodes: [{ count: 10, cpus: 2, memory: "2 GiB" }], work: [grows], limit: 400 });
  const [tesela, home] = simulate(s, { policies: ["tesela", "home"] }).report.outcomes;
  assert.equal(tesela?.swapSeconds, 0);
  assert.ok((home?.swapSeconds ?? 0) > 0);
});

test("programs of which no node holds two spread one by one, and hardly one comes back", () => {
  let [moves, back] = [0, 0];
  for (const seed of [1, 2, 3, 4, 5]) {
    const [tesela, best] = simulate({ ...loadScenario("memory-hogs"), seed }).report.outcomes;
    assert.ok(tesela !== undefined && best !== undefined);
    assert.ok(tesela.makespan < 1.3 * best.makespan, `${tesela.makespan} s`);
    moves += tesela.moves;
    back += tesela.pingPongs;
  }
  assert.ok(back < 0.02 * moves, `${back} of ${moves} moves`);
});

test("a ranking has the largest on top through all changes", () => {
  const keys = Array.from({ length: 50 }, (_, i) => (i * 37) % 50);
  const ranking = new Ranking(keys);
  for (let i = 0; i < 1000; i++) {
    const at = (i * 31) % 50;
    keys[at] = (i * 7919) % 101;
    ranking.set(at, keys[at]);
    const most = Math.max(...keys);
    assert.equal(ranking.top, keys.indexOf(most));
  }
});

test("nodes that share a core get half of the work together, and the node with its own the other half", () => {
  for (const seed of [1, 2, 3]) {
    const s = scenario({ nodes: [{ cores: "a" }, {}, { cores: "a" }], work: [{ kind: "batch", on: 0.1, each: 12, life: 8 }], seed });
    const [tesela, best] = simulate(s).report.outcomes;
    assert.ok(tesela !== undefined && best !== undefined);
    assert.ok(Math.abs(best.makespan - 48) < 0.1, `${best.makespan} s`);
    assert.ok(tesela.makespan < 1.08 * best.makespan, `${tesela.makespan} s`);
    assert.ok(tesela.moves <= 10, `${tesela.moves} moves`);
  }
});
