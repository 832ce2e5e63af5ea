import assert from "node:assert/strict";
import { test } from "node:test";
import { DECAY_RATES, isRates, paceOf, readHints } from "./hints.ts";

test("hints that come in are checked, and what is not known is left out", () => {
  const good = { job: "cpu", decay: "slow", mask: "1-4" };
  assert.deepEqual(readHints({ ...good, more: 1 }), good);
  assert.deepEqual(readHints({}), {});
  assert.deepEqual(readHints({ decay: { seconds: 5, keep: 0 } }), { decay: { seconds: 5, keep: 0 } });
  for (const bad of [
    null,
    1,
    "cpu",
    { job: "gpu" },
    { decay: "never" },
    { decay: { seconds: 0, keep: 1 } },
    { decay: { seconds: 1, keep: 1001 } },
  ])
    assert.equal(readHints(bad), null, JSON.stringify(bad));
  for (const mask of ["", "x", 5, null, "1,".repeat(2000)]) assert.equal(readHints({ mask }), null, String(mask));
});

test("slow and fast are what the node says that they are", () => {
  assert.equal(paceOf({}, DECAY_RATES), null);
  assert.deepEqual(paceOf({ decay: "none" }, DECAY_RATES), { seconds: 1, keep: 1000 });
  assert.deepEqual(paceOf({ decay: "slow" }, DECAY_RATES), { seconds: 15, keep: 975 });
  assert.deepEqual(paceOf({ decay: "fast" }, { seconds: 2, slow: 5, fast: 3 }), { seconds: 2, keep: 3 });
  assert.deepEqual(paceOf({ decay: { seconds: 7, keep: 8 } }, DECAY_RATES), { seconds: 7, keep: 8 });
  assert.ok(isRates(DECAY_RATES));
  assert.ok(!isRates({ seconds: 0, slow: 1, fast: 1 }) && !isRates({ seconds: 1, slow: 1 }));
});
