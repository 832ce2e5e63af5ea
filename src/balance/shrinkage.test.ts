import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeId } from "../base/mod.ts";
import { Leaving } from "./leaving.ts";
import { Shrinkage } from "./shrinkage.ts";

test("growth is believed at once, and remembered for some looks when nobody says who it was", () => {
  const memory = new Shrinkage();
  assert.equal(memory.look(1000, 0, 0), 0);
  assert.equal(memory.look(900, 1000, 0), 100);
  assert.equal(memory.look(900, 2000, 0), 62.5);
  assert.equal(memory.look(950, 3000, 0), (5 * 62.5 - 3 * 50) / 8);
});

test("of processes that are known growth ends when they stop", () => {
  const memory = new Shrinkage();
  memory.look(1000, 0, 100);
  assert.equal(memory.look(900, 1000, 100), 100);
  assert.equal(memory.look(900, 2000, 0), 0);
  // The rest is of others.
  assert.equal(memory.look(700, 3000, 150), 200);
  assert.equal(memory.look(700, 4000, 0), 50 * 0.625);
});

test("what leaves will be free, and for a while its growth is part of what is measured", () => {
  const leaving = new Leaving<string>();
  leaving.add("1:7", { to: nodeId(2), tasks: 1, rss: 500, growth: 10, since: 0 });
  leaving.add("1:8", { to: nodeId(3), tasks: 1, rss: 300, growth: 20, since: 1500 });
  assert.deepEqual(leaving.departing(1900), { bytes: 800, growth: 30 });
  assert.deepEqual(leaving.departing(2000), { bytes: 800, growth: 20 });
  assert.deepEqual([...leaving.targets], [2, 3]);
  leaving.delete("1:7");
  assert.deepEqual([leaving.has("1:7"), leaving.has("1:8"), leaving.size], [false, true, 1]);
  assert.deepEqual(leaving.departing(4000), { bytes: 300, growth: 0 });
});
