import assert from "node:assert/strict";
import { test } from "node:test";
import { GiB, MiB } from "../base/mod.ts";
import { EventClock } from "./event-clock.ts";
import { readScenario } from "./scenario.ts";
import type { Job } from "./workload.ts";
import { World } from "./world.ts";

const job = (pid: number, work: number, with_: Partial<Job> = {}): Job => ({
  pid,
  home: 0,
  work,
  memory: MiB,
  growth: 0,
  peak: MiB,
  calls: 0,
  place: false,
  ...with_,
});

/** Nodes, and the ends of processes as `pid at seconds on node`. */
function worldOf(nodes: readonly object[], network: object = {}): { world: World; clock: EventClock; ends: string[] } {
  const clock = new EventClock();
  const ends: string[] = [];
  const scenario = readScenario(JSON.stringify({ nodes, network, work: [{ kind: "batch", life: 1 }] }), "test");
  const world = new World(scenario, clock, 0, {
    ended: (t, on) => void ends.push(`${t.job.pid} at ${(clock.now() / 1000).toFixed(3)} on ${on.index}`),
    moved: () => {},
  });
  return { world, clock, ends };
}

test("processes share the CPUs of a node equally, none with more than one", () => {
  const { world, clock, ends } = worldOf([{ cpus: 2, speed: 20_000 }]);
  world.begin(job(1, 4), 0);
  clock.runTo(1000);
  for (const pid of [2, 3, 4]) world.begin(job(pid, 3), 0);
  clock.runTo(60_000);
  // Alone until 1 s: 2 of 4 done. Then half of a CPU of twice the speed for each of four, until the first ends; two thirds for three.
  assert.deepEqual(ends, ["1 at 3.000 on 0", "2 at 3.750 on 0", "3 at 3.750 on 0", "4 at 3.750 on 0"]);
});

test("a carried process stands still for its bytes and the freeze, and links carry one at a time", () => {
  const { world, clock, ends } = worldOf([{ count: 3 }], { bandwidth: "10 MiB", freezeMs: 100 });
  const one = world.begin(job(1, 5, { memory: 20 * MiB }), 0);
  const two = world.begin(job(2, 5, { memory: 10 * MiB }), 0);
  clock.runTo(2000);
  assert.ok(world.carry(one, 1, () => {}));
  assert.ok(world.carry(two, 2, () => {}));
  clock.runTo(60_000);
  // Each has done one second of five by then. The first is there after 2.1 s, the second 1.1 s later.
  assert.deepEqual(ends, ["1 at 8.100 on 1", "2 at 9.200 on 2"]);
});

test("a node takes nobody for whom it has no memory, and one that cannot be reached nobody at all", () => {
  const { world, clock } = worldOf([{ count: 4, memory: "1 GiB" }], { partitions: [{ from: 0, until: 5, share: 0.5 }] });
  const big = world.begin(job(1, 50, { memory: 0.6 * GiB }), 0);
  const other = world.begin(job(2, 50, { memory: 0.6 * GiB }), 1);
  assert.equal(
    world.carry(big, 1, () => {}),
    false,
  );
  assert.equal(
    world.carry(big, 3, () => {}),
    false,
  );
  clock.runTo(5000);
  assert.equal(
    world.carry(big, 3, () => {}),
    true,
  );
  // Room is kept from the beginning of a carry on.
  assert.equal(
    world.carry(other, 3, () => {}),
    false,
  );
});

test("growth beyond memory makes a node slow until it is gone", () => {
  const { world, clock, ends } = worldOf([{ count: 2, memory: "100 MiB" }]);
  world.begin(job(1, 10, { memory: 60 * MiB, growth: 10 * MiB, peak: 200 * MiB }), 0);
  clock.runTo(5000);
  world.look(world.machine(0));
  clock.runTo(60_000);
  assert.deepEqual(ends, ["1 at 55.000 on 0"]);
});

test("calls that go home make a process slower where it is not at home", () => {
  const { world, clock, ends } = worldOf([{ count: 2 }], { delayMs: [0.5, 0.5] });
  world.begin(job(1, 10, { calls: 100 }), 1);
  world.begin(job(2, 10, { calls: 100 }), 0);
  clock.runTo(60_000);
  assert.deepEqual(ends, ["2 at 10.000 on 0", "1 at 11.000 on 1"]);
});
