import assert from "node:assert/strict";
import { test } from "node:test";
import { type Calls, clockFinding, multicastFinding } from "./network.ts";

test("calls of others: heard, not heard, and not known", () => {
  const calls: Calls = { on: true, uptimeMs: 600_000, up: [2, 3], heard: [{ id: 2, agoMs: 20_000 }] };
  assert.deepEqual(multicastFinding(calls), { check: "multicast", state: "ok", found: "1 of 2 other nodes were heard lately" });
  const deaf = {
    ...calls,
    heard: [
      { id: 2, agoMs: 200_000 },
      { id: 9, agoMs: 5 },
    ],
  };
  const { state, todo = "" } = multicastFinding(deaf);
  assert.equal(state, "degraded");
  assert.match(todo, /UDP 5429/);
  assert.equal(multicastFinding({ ...deaf, on: false }).state, "ok");
  for (const nothing of [null, { ...deaf, uptimeMs: 9000 }, { ...deaf, up: [] }])
    assert.equal(multicastFinding(nothing).state, "unknown", JSON.stringify(nothing));
});

test("clocks that differ are a note, and more only where certificates are concerned", () => {
  const row = (node: number, aheadMs: number, offMs = 1) => ({ node, aheadMs, offMs });
  const found = (...rows: ReturnType<typeof row>[]): string => `${clockFinding(rows).state}: ${clockFinding(rows).found}`;
  assert.equal(found(row(2, 3), row(3, -900)), "ok: as that of 2 other nodes, to a second");
  assert.equal(found(row(2, 1500, 900)), "ok: as that of 1 other nodes, to a second");
  assert.equal(found(row(2, 3), row(3, -3 * 3_600_000)), "ok: node 3 is 3.0 h behind");
  assert.equal(found(row(2, 90_000), row(3, -2500)), "ok: node 2 is 1.5 min ahead, node 3 is 2.5 s behind");
  assert.equal(
    found(row(2, 2e5), row(3, -2 * 86_400_000), row(4, 4e5), row(5, 3e5)),
    "degraded: node 3 is 2.0 d behind, node 4 is 6.7 min ahead, node 5 is 5.0 min ahead, and 1 more",
  );
  assert.deepEqual([clockFinding(null).state, clockFinding([]).state], ["unknown", "unknown"]);
});
