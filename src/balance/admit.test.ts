import assert from "node:assert/strict";
import { test } from "node:test";
import { MiB } from "../base/mod.ts";
import { type Offer, refusal } from "./admit.ts";
import { BALANCE_KNOBS } from "./knobs.ts";
import { aNode, N2 } from "./test-views.ts";

const NOTHING = { tasks: 0, rss: 0, growth: 0 };
const offer = (with_: Partial<Offer> = {}): Offer => ({
  ...{ motive: "load", comesHome: false, tasks: 1, rss: 8 * MiB, load: 3, growth: 0, lasts: 5 },
  ...with_,
});
const answer = (load: number, arriving = NOTHING, o = offer()): string | null =>
  refusal(aNode(N2, { load, memFree: 512 * MiB }), arriving, o, BALANCE_KNOBS);

test("a node takes what MOSIX's guard lets come, by what it is now", () => {
  assert.equal(answer(1), null);
  assert.equal(answer(2), "node 2 has filled up meanwhile: it would be at 3.00, there it is 3.00");
});

test("what is on its way counts as if it were there: of many that come at once some are refused", () => {
  assert.equal(answer(0, { ...NOTHING, tasks: 1 }), null);
  assert.match(answer(0, { ...NOTHING, tasks: 2 }) ?? "", /filled up/);
  assert.match(answer(0, { ...NOTHING, rss: 400 * MiB }) ?? "", /lacks/);
});

test("who comes home is let in, and who flees from a full node where there is memory", () => {
  assert.equal(answer(9, NOTHING, offer({ comesHome: true, motive: "home", rss: 900 * MiB })), null);
  assert.match(answer(9, NOTHING, offer({ comesHome: true })) ?? "", /filled up/);
  assert.equal(answer(9, NOTHING, offer({ motive: "memory" })), null);
  assert.match(answer(9, NOTHING, offer({ motive: "memory", rss: 900 * MiB })) ?? "", /lacks/);
});

test("who grows is taken as long as memory lasts for what it was told, all counted that grows here or will", () => {
  const flees = (o: Partial<Offer>) => offer({ motive: "memory", growth: 20 * MiB, ...o });
  assert.equal(answer(1, NOTHING, flees({ lasts: 10 })), null);
  assert.match(answer(1, { ...NOTHING, growth: 20 * MiB }, flees({ lasts: 10 })) ?? "", /^node 2 lacks 100/);
  assert.equal(answer(1, { ...NOTHING, growth: 20 * MiB }, flees({ lasts: 5 })), null);
  const grows = aNode(N2, { load: 1, memFree: 512 * MiB, memGrowth: 40 * MiB });
  assert.match(refusal(grows, NOTHING, flees({ lasts: 10 }), BALANCE_KNOBS) ?? "", /lacks/);
  assert.equal(refusal(grows, NOTHING, flees({ comesHome: true, lasts: 10 }), BALANCE_KNOBS), null);
});

test("a node whose CPUs others use takes one, and no other before it has shown what one gets there", () => {
  const self = aNode(N2, { load: 1, got: 0.5, memFree: 512 * MiB, untried: true });
  assert.equal(refusal(self, NOTHING, offer({ load: 12 }), BALANCE_KNOBS), null);
  const one = { ...NOTHING, tasks: 1 };
  assert.match(refusal(self, one, offer({ load: 12 }), BALANCE_KNOBS) ?? "", /shares its CPUs, and what those get is not known yet/);
  assert.equal(refusal({ ...self, untried: false }, one, offer({ load: 12 }), BALANCE_KNOBS), null);
  assert.equal(refusal(self, one, offer({ motive: "memory" }), BALANCE_KNOBS), null);
});
