import assert from "node:assert/strict";
import { test } from "node:test";
import { LAN } from "./gossip-knobs.ts";
import { TestGossip, type TestGossipOptions } from "./test-gossip.ts";

/** Issue: membership converges in 10 s. */
const CONVERGED_MS = 10_000;
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const all = (): boolean => true;

async function started(n: number, o: TestGossipOptions = {}, seeds = [1, 2, 3]): Promise<TestGossip> {
  const g = new TestGossip(o);
  for (const id of range(1, n)) g.start(id, seeds);
  const took = await g.until(CONVERGED_MS, () => g.wrong(range(1, n), all) === 0);
  assert.ok(took !== null, `not all see all: ${g.wrong(range(1, n), all)} pairs`);
  return g;
}

for (const { n, seed, loss } of [
  { n: 20, seed: 1, loss: 0 },
  { n: 50, seed: 2, loss: 0.1 },
  { n: 80, seed: 3, loss: 0.05 },
]) {
  test(`${n} nodes that know three find one another, part, and come together again (loss ${loss})`, async () => {
    const g = await started(n, { seed, weather: { loss, late: loss, duplicate: loss } });
    const third = Math.floor(n / 3);
    const [one, two] = [range(1, third), range(third + 1, n)];
    g.network.isolate(one.map((id) => g.of(2).get(id)?.address ?? `10.0.0.${id}`));
    const same = (of: number, at: number): boolean => of <= third === at <= third;
    const parted = await g.until(CONVERGED_MS, () => g.wrong([...one, ...two], same) === 0);
    assert.ok(parted !== null, `parted wrongly after 10 s: ${g.wrong([...one, ...two], same)} pairs`);
    g.network.heal();
    const healed = await g.until(CONVERGED_MS, () => g.wrong(range(1, n), all) === 0);
    assert.ok(healed !== null, `not healed after 10 s: ${g.wrong(range(1, n), all)} pairs`);
    g.end();
  });
}

test("what a node sends does not depend on how many there are, and no message is longer than it may be", async () => {
  const rates: number[] = [];
  for (const n of [60, 100]) {
    const g = await started(n, { seed: n });
    await g.clock.advance(5000);
    const before = g.network.total.bytes;
    await g.clock.advance(5000);
    rates.push((g.network.total.bytes - before) / n / 5);
    assert.ok(g.network.total.longest <= LAN.messageBytes, `${g.network.total.longest} bytes`);
    g.end();
  }
  const [few = 0, many = 0] = rates;
  assert.ok(many < few * 1.1, `bytes a node and second: ${rates.map(Math.round).join(", ")}`);
});

test("a rolling restart, with kills and goodbyes, leaves all up, and nobody else is taken for dead meanwhile", async () => {
  const n = 12;
  const g = await started(n, { sealed: true, seed: 5, weather: { loss: 0.02 } });
  g.changes.length = 0;
  for (const id of range(1, n)) {
    if (id % 2 === 0) {
      const gone = g.of(id).leave();
      await g.clock.advance(500);
      await gone;
    }
    g.kill(id);
    await g.clock.advance(1500);
    g.start(id, range(1, n));
    await g.clock.advance(500);
    const others = range(1, n).filter((of) => of !== id);
    for (const at of others)
      for (const of of others) assert.ok(of === at || ["up", "suspect"].includes(g.state(of, at) ?? ""), `${of} at ${at}`);
  }
  const took = await g.until(CONVERGED_MS, () => g.wrong(range(1, n), all) === 0);
  assert.ok(took !== null, `not all see all: ${g.wrong(range(1, n), all)} pairs`);
  g.end();
});
