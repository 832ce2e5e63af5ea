import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { TeselaError } from "../base/mod.ts";
import { caughtUp, clockName, measureShift, notBefore, readClocks, type Shift, shifted } from "./clocks.ts";

const SECOND = 1_000_000_000n;
const there: Shift = { monotonic: -5n * SECOND, boot: 7n * SECOND };

test("a measured shift is never too small, and no more too great than the quickest answer was slow", async () => {
  const delays = [30, 3, 20, 10];
  let asked = 0;
  const quickest: bigint[] = [];
  const shift = await measureShift(async () => {
    const before = readClocks().monotonic;
    await sleep(delays[asked++ % delays.length]);
    const answer = shifted(readClocks(), there);
    quickest.push(readClocks().monotonic - before);
    return answer;
  });
  const most = quickest.reduce((a, b) => (a < b ? a : b)) + SECOND / 10n;
  for (const name of ["monotonic", "boot"] as const) {
    const error = shift[name] - there[name];
    assert.ok(error >= 0n && error < most, `${name} is off by ${error} ns, the quickest answer took ${most}`);
  }
  assert.ok(asked > delays.length, "answers this slow are worth some more questions");
});

test("a shift is made large enough for what has been seen", () => {
  const seen = shifted(readClocks(), { monotonic: there.monotonic + SECOND, boot: there.boot - SECOND });
  const shift = notBefore(there, seen);
  assert.equal(shift.boot, there.boot);
  assert.ok(shift.monotonic > there.monotonic && shift.monotonic <= there.monotonic + SECOND);
  assert.ok(shifted(readClocks(), shift).monotonic >= seen.monotonic);
});

test("home waits until its clocks show what a process has seen", async () => {
  assert.equal(await caughtUp(readClocks()), 0);
  const seen = shifted(readClocks(), { monotonic: SECOND / 50n, boot: SECOND / 20n });
  const behindMs = await caughtUp(seen);
  // That it woke up later than that says nothing of the clocks.
  assert.ok(behindMs > 0 && behindMs <= 50, `${behindMs} ms behind`);
  const now = readClocks();
  assert.ok(now.monotonic >= seen.monotonic && now.boot >= seen.boot);
  const wrong = shifted(now, { monotonic: 0n, boot: 7200n * SECOND });
  await assert.rejects(caughtUp(wrong), (e) => e instanceof TeselaError && e.code === "E_PROTOCOL");
});

test("clocks have a name that fits an offer", () => {
  assert.match(clockName(), /^[0-9a-f-]{36}(:[0-9a-f]{16})?$/);
});
