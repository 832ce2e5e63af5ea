import assert from "node:assert/strict";
import { test } from "node:test";
import { MiB, TeselaError } from "../base/mod.ts";
import { SeededRandom } from "../io/mod.ts";
import { nodeCount, readScenario, resized } from "./scenario.ts";
import { loadScenario, scenarioNames } from "./scenarios.ts";
import { draw, mean, type Spread } from "./spread.ts";
import { workload } from "./workload.ts";

const small = (more: object = {}): string => JSON.stringify({ nodes: [{ count: 4 }], work: [{ kind: "batch", life: 3 }], ...more });
const wrong = (text: RegExp) => (e: unknown) => e instanceof TeselaError && e.code === "E_CONFIG" && text.test(e.message);

test("what a scenario leaves out has defaults; what is wrong is named with its place", () => {
  const s = readScenario(small({ knobs: { balance: { guard: 2 } } }), "x");
  assert.deepEqual(s.nodes, [{ count: 4, cpus: 1, speed: 10_000, memory: 4096 * MiB, cores: "" }]);
  assert.equal(s.knobs.balance.guard, 2);
  for (const [more, text] of [
    [{ nodes: [{ count: 0 }] }, /x: nodes\[0\]: count: want a number of at least 1, not 0/],
    [{ nodes: [{ count: 70_000 }] }, /70000 nodes/],
    [{ nodes: [{ cuont: 1 }] }, /unknown field 'cuont'/],
    [{ network: { loss: 1.5 } }, /network: loss: want a part/],
    [{ work: [] }, /no work/],
    [{ work: [{ kind: "batch" }] }, /work\[0\]: life: want a number/],
    [{ work: [{ kind: "btach", life: 1 }] }, /kind: want poisson, batch or make, not "btach"/],
    [{ work: [{ kind: "batch", life: { pareto: { alpha: 1, least: 5, most: 2 } } }] }, /0 < least < most/],
    [{ work: [{ kind: "batch", life: 1, memory: "4 furlongs" }] }, /memory: want/],
    [{ knobs: { balance: { gaurd: 2 } } }, /knobs: balance: unknown field 'gaurd'/],
  ] as const) {
    assert.throws(() => readScenario(small(more), "x"), wrong(text));
  }
  assert.throws(() => readScenario("{", "x"), wrong(/scenario x/));
});

test("every scenario that comes along can be read, has its own name, and is resized in proportion", () => {
  for (const name of scenarioNames()) {
    const s = loadScenario(name);
    assert.equal(s.name, name);
    assert.ok(s.about.length > 0);
    for (const n of [1, 7, 1000]) assert.equal(nodeCount(resized(s, n)), n);
  }
  assert.throws(() => loadScenario("nowhere"), wrong(/scenario 'nowhere': there is none of that name, and there is no such file/));
  const two = readScenario(small({ nodes: [{ count: 30 }, { count: 10, cpus: 2 }] }), "x");
  assert.deepEqual(
    resized(two, 400).nodes.map((g) => g.count),
    [300, 100],
  );
});

test("drawn values stay within their bounds and have their mean", () => {
  const random = new SeededRandom(5);
  const spreads: readonly Spread[] = [
    3,
    { uniform: [2, 6] },
    { exponential: 4 },
    { pareto: { alpha: 1.1, least: 1, most: 100 } },
    { pareto: { alpha: 1, least: 1, most: 100 } },
  ];
  for (const spread of spreads) {
    const values = Array.from({ length: 100_000 }, () => draw(spread, random));
    const average = values.reduce((a, b) => a + b) / values.length;
    assert.ok(Math.abs(average / mean(spread) - 1) < 0.03, `${JSON.stringify(spread)}: ${average}, not ${mean(spread)}`);
    if (typeof spread === "object" && "pareto" in spread) assert.ok(values.every((v) => v >= 1 && v <= 100));
  }
});

test("the same seed gives the same work, another seed another", () => {
  const s = loadScenario("heavy-tail");
  const of = (seed: number): string => JSON.stringify(workload(s, new SeededRandom(seed)));
  assert.equal(of(1), of(1));
  assert.notEqual(of(1), of(2));
});
