import assert from "node:assert/strict";
import { test } from "node:test";
import { TeselaError } from "../base/mod.ts";
import { CLOCK, clocksOf } from "./clocks.ts";
import type { PeerControl } from "./peer.ts";
import { fakePeer } from "./test-members.ts";

test("clocks of others are compared with this one's; who is silent or tells nonsense is left out", async () => {
  const asked: string[] = [];
  const other = (node: number, answer: () => unknown): PeerControl => ({
    ...fakePeer,
    node,
    question: async (what) => {
      asked.push(what);
      return answer();
    },
  });
  const rows = await clocksOf([
    other(2, () => ({ now: Date.now() + 3_600_000 })),
    other(3, () => ({ now: Date.now() - 5000 })),
    other(4, () => ({ now: "noon" })),
    other(5, () => {
      throw new TeselaError("E_LINK", "gone");
    }),
  ]);
  assert.deepEqual(
    rows.map((r) => r.node),
    [2, 3],
  );
  for (const [i, ahead] of [3_600_000, -5000].entries()) {
    const { aheadMs = 0, offMs = 0 } = rows[i] ?? {};
    assert.ok(Math.abs(aheadMs - ahead) <= offMs + 2, `${aheadMs} of ${ahead}, off by ${offMs}`);
  }
  assert.deepEqual(new Set(asked), new Set([CLOCK]));
});
