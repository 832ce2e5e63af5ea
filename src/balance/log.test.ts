import assert from "node:assert/strict";
import { test } from "node:test";
import { DecisionLog } from "./log.ts";
import { N1, N2 } from "./test-views.ts";
import type { Decision } from "./views.ts";

const decision = (why: string, atMs: number, with_: Partial<Decision> = {}): Decision => ({
  pid: 11,
  home: N1,
  motive: "load",
  from: N1,
  to: null,
  why,
  considered: [],
  atMs,
  ...with_,
});

test("the same reason with other numbers is kept once, with the last numbers", () => {
  const log = new DecisionLog();
  log.add([decision("stays: node 2 would be at 1.93, gains 0.4 s", 1), decision("stays: node 2 would be at 1.90, gains 1 s", 2)]);
  log.add([decision("moves to node 2", 3, { to: N2 }), decision("moves to node 2", 4, { to: N2 })]);
  log.add([decision("stays: node 2 takes no processes", 5)]);
  const kept = log.of(N1, 11);
  assert.deepEqual(
    kept.map((l) => [l.firstMs, l.decision.atMs, l.times]),
    [
      [1, 2, 2],
      [3, 3, 1],
      [4, 4, 1],
      [5, 5, 1],
    ],
  );
});

test("bounded for each process, and in processes", () => {
  const log = new DecisionLog({ perProcess: 2, processes: 2 });
  for (let i = 0; i < 5; i++) log.add([decision("moves", i, { to: N2 })]);
  assert.deepEqual(
    log.of(N1, 11).map((l) => l.decision.atMs),
    [3, 4],
  );
  log.add([decision("stays", 6, { pid: 12 }), decision("stays", 7, { pid: 13 })]);
  assert.deepEqual([log.of(N1, 11).length, log.of(N1, 12).length, log.of(N1, 13).length], [0, 1, 1]);
  log.forget(N1, 12);
  assert.deepEqual(log.of(N1, 12), []);
});
