import assert from "node:assert/strict";
import { test } from "node:test";
import { mergeRows } from "./merge.ts";
import type { EngineRow } from "./shapes.ts";
import { aRow } from "./test-rows.ts";

const row = (over: Partial<EngineRow>): EngineRow => aRow({ since: 1, ...over });

test("home says what it is, the host how it runs", () => {
  const guest = row({ role: "guest", state: "R", cpu: 0.9, rss: 8192, user: "?", command: "?", nmigs: 0 });
  const [one, ...more] = mergeRows([guest, row({})]);
  assert.deepEqual(more, []);
  assert.deepEqual(one, {
    pid: 7,
    cpid: "1:7",
    home: 1,
    node: 2,
    nmigs: 1,
    state: "S",
    cpu: 0.9,
    rss: 8192,
    user: "ann",
    lock: false,
    cantmove: [],
    command: "bc -l",
  });
});

test("a guest alone, a host that left, order", () => {
  assert.equal(mergeRows([row({ role: "guest", cpu: 0.5 })])[0]?.cpu, 0.5);
  assert.equal(
    mergeRows([row({ node: 1, cpu: 0.1 }), row({ role: "guest", cpu: 0.5 })])[0]?.cpu,
    0.1,
    "home again: the old host's word is old",
  );
  const many = mergeRows([row({ home: 2, cpid: "2:1", pid: 1 }), row({ pid: 9, cpid: "1:9" }), row({})]);
  assert.deepEqual(
    many.map((r) => r.cpid),
    ["1:7", "1:9", "2:1"],
  );
});
