/** What has come and gone since a node was looked at: its load does not show that yet. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GiB, nodeId } from "../base/mod.ts";
import { Gone } from "./gone.ts";
import { unseen } from "./lag.ts";
import { Sent } from "./sent.ts";
import type { NodeView } from "./views.ts";

const node = (load: number, ageMs: number): NodeView => ({
  ...{ id: nodeId(2), cpus: 2, speed: 10_000, load, memTotal: 4 * GiB, memFree: 2 * GiB, ageMs },
  ...{ accepts: true, bandwidth: 100e6, rttMs: 0.3 },
});

test("a sample shows of what came how much of its time that was there", () => {
  assert.deepEqual(
    [4000, 4500, 4900, 5000, 6000].map((at) => Math.round(unseen(at, 5000) * 100)),
    [0, 50, 90, 100, 100],
  );
});

test("each of some moves in one second is decided without those before", () => {
  const gone = new Gone();
  assert.equal(gone.without(node(6, 300), 5300).load, 6);
  for (const at of [5100, 5200]) gone.add(1, at);
  assert.equal(gone.without(node(6, 300), 5300).load, 5, "two tasks on two CPUs");
  // The next sample had them for a fifth and a tenth of its time.
  assert.equal(gone.without(node(6, 0), 6000).load.toFixed(2), "5.85");
  assert.equal(gone.without(node(5, 0), 7000).load, 5);
});

test("what was sent counts until the other node tells of itself", () => {
  const sent = new Sent();
  sent.add(nodeId(2), { tasks: 1, rss: GiB, growth: 5 }, 5000);
  const told = (ageMs: number, now: number) => sent.added({ ...node(1, ageMs), memGrowth: 2 }, now);
  assert.deepEqual([told(200, 5100).load, told(200, 5100).memFree, told(200, 5100).memGrowth], [1.5, GiB, 7]);
  assert.equal(told(9000, 13_000).load, 1.5, "however long that takes");
  assert.deepEqual([told(100, 5200).load, told(100, 5200).memFree], [1, 2 * GiB]);
  assert.equal(told(5000, 5300).load, 1, "and then it is forgotten");
});
