import assert from "node:assert/strict";
import { test } from "node:test";
import { GiB, MiB, nodeId } from "../base/mod.ts";
import { Admission } from "./admission.ts";
import type { Offer } from "./admit.ts";
import { BALANCE_KNOBS } from "./knobs.ts";
import { UNHEARD_MS } from "./sent.ts";
import type { NodeView } from "./views.ts";

const self: NodeView = {
  ...{ id: nodeId(2), cpus: 1, speed: 10_000, load: 0, memTotal: 4 * GiB, memFree: 2 * GiB, ageMs: 0 },
  ...{ accepts: true, bandwidth: 100e6, rttMs: 0.3 },
};
const offer: Offer = { motive: "load", comesHome: false, tasks: 1, rss: 100 * MiB, load: 3, growth: 0, lasts: 5 };

test("several that look at the same news do not all come", () => {
  const admission = new Admission(() => BALANCE_KNOBS);
  assert.equal(admission.answer(self, offer, 0), null);
  assert.equal(admission.answer(self, offer, 1), null);
  assert.match(admission.answer(self, offer, 2) ?? "", /has filled up meanwhile/);
  assert.equal(admission.answer(self, offer, UNHEARD_MS + 1), null, "what has come by then is seen to run here");
});

test("what is on its way takes memory, too", () => {
  const admission = new Admission(() => BALANCE_KNOBS);
  const large = { ...offer, motive: "memory" as const, rss: 1500 * MiB };
  assert.equal(admission.answer(self, large, 0), null);
  assert.match(admission.answer(self, large, 1) ?? "", /node 2 lacks/);
  assert.equal(admission.answer(self, { ...large, comesHome: true }, 2), null, "its own processes may always come home");
});

test("programs that are to begin here have to find room, those counted that are on their way", () => {
  const admission = new Admission(() => BALANCE_KNOBS);
  const needs = { tasks: 1, rss: 500 * MiB };
  assert.equal(admission.room(self, needs, 0).refusal, null);
  const second = admission.room(self, needs, 1);
  assert.deepEqual([second.refusal, second.load], ["node 2 has no whole CPU free: tasks want 1.00 of its 1", 1]);
  assert.match(admission.room({ ...self, cpus: 8 }, { ...needs, rss: 1500 * MiB }, 2).refusal ?? "", /node 2 lacks/);
  assert.match(admission.answer(self, offer, 3) ?? "", /^$/, "one that is offered from a crowded node comes all the same");
  assert.equal(admission.room(self, needs, 2 * UNHEARD_MS).refusal, null);
});

test("of what is carried here the bytes count that are not here yet, one after the other as a link takes them", () => {
  const admission = new Admission(() => BALANCE_KNOBS);
  const large = { ...offer, motive: "memory" as const, rss: 500e6, growth: 1e6 };
  const none = { tasks: 0, carried: 0, rss: 0, growth: 0, rate: 0 };
  assert.deepEqual(admission.arriving(0, 0), none);
  for (let i = 0; i < 2; i++) assert.equal(admission.answer(self, large, 0), null);
  assert.deepEqual(admission.arriving(0, 0), { tasks: 2, carried: 2, rss: 1000e6, growth: 2e6, rate: 100e6 });
  // A second later than they are here, for samples are as old; what follows has begun when the first is being told of.
  assert.deepEqual(admission.arriving(3500, 3000), { tasks: 2, carried: 2, rss: 750e6, growth: 2e6, rate: 100e6 });
  assert.deepEqual(admission.arriving(8500, 8000), { tasks: 1, carried: 1, rss: 250e6, growth: 1e6, rate: 100e6 });
  // Half of the last sample was without it.
  const late = admission.arriving(10_600, 10_550);
  assert.deepEqual({ ...late, rss: Math.round(late.rss) }, { tasks: 0.5, carried: 0.5, rss: 40e6, growth: 1e6, rate: 100e6 });
  assert.deepEqual(admission.arriving(11_000, 11_000), none);
});
