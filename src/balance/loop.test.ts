import assert from "node:assert/strict";
import { test } from "node:test";
import { N1, N2, N3 } from "./test-views.ts";
import { Loop } from "./test-loop.ts";

const SEEDS = [1, 2, 3, 4, 5];

test("twelve equal jobs on one of three equal nodes end 4/4/4, and stay there", () => {
  for (const seed of SEEDS) {
    for (const lag of [0, 1, 3]) {
      const loop = new Loop([{}, {}, {}], { seed, lag });
      loop.start(N1, 12);
      loop.run(30);
      assert.deepEqual(loop.spread(), [4, 4, 4]);
      const spread = loop.moves.length;
      // As many as have to, when each knows what the others are.
      if (lag < 2) assert.equal(spread, 8);
      loop.run(300);
      assert.equal(loop.moves.length, spread);
    }
  }
});

test("jobs go by speed and by number of CPUs", () => {
  const loop = new Loop([{}, { speed: 20_000 }, { speed: 5000 }, { cpus: 2 }]);
  loop.start(N1, 18);
  loop.run(120);
  const [one = 0, fast = 0, slow = 0, wide = 0] = loop.spread();
  assert.equal(one + fast + slow + wide, 18);
  assert.ok(Math.abs(one - 4) <= 1 && Math.abs(fast - 8) <= 1 && Math.abs(slow - 2) <= 1 && Math.abs(wide - 8) <= 1, `${loop.spread()}`);
});

test("jobs that pause now and then do not go to and fro", () => {
  for (const seed of SEEDS) {
    for (const lag of [1, 3]) {
      const loop = new Loop([{}, {}, {}, { cpus: 2 }], { seed, lag });
      loop.start(N1, 15, 0.9);
      loop.run(60);
      const spread = loop.moves.length;
      loop.run(600);
      assert.ok(loop.moves.length - spread <= 3, `${loop.moves.length - spread} moves in ten quiet minutes`);
    }
  }
});

test("two nodes that both start jobs lend each other what is free", () => {
  const loop = new Loop([{}, {}, {}]);
  loop.start(N1, 6);
  loop.start(N2, 3);
  loop.run(60);
  assert.deepEqual(loop.spread(), [3, 3, 3]);
});

test("nodes that share their CPUs are given as much together as one that has its own", () => {
  for (const seed of SEEDS) {
    for (const lag of [0, 1, 3]) {
      for (const from of [N1, N2]) {
        const loop = new Loop([{ cores: "a" }, {}, { cores: "a" }], { seed, lag });
        loop.start(from, 12);
        loop.run(40);
        const [one = 0, two = 0, three = 0] = loop.spread();
        assert.ok(Math.abs(two - 6) <= 1, `${loop.spread()}`);
        assert.ok(from === N2 || three <= 2, `${loop.spread()}: moves from node 1 to node 3 bring nothing`);
        const spread = loop.moves.length;
        assert.ok(spread <= 10, `${spread} moves`);
        loop.run(300);
        assert.ok(loop.moves.length - spread <= 1, `${loop.moves.length - spread} moves when all is spread`);
        assert.equal(one + two + three, 12);
      }
    }
  }
});

test("who shares a CPU with a crowd leaves it, though it is alone on its node", () => {
  const loop = new Loop([{ cores: "a" }, {}, { cores: "a" }]);
  loop.start(N1, 1);
  loop.run(10);
  assert.equal(loop.moves.length, 0, "alone on the CPU as well");
  loop.startFixed(N3, 4);
  loop.run(20);
  assert.deepEqual(loop.spread(), [0, 1, 4]);
});
