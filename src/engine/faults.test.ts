import assert from "node:assert/strict";
import { test } from "node:test";
import { Faults, step } from "./faults.ts";

test("who is held goes on when it is released, or when the time is over; what was reached before counts no more", async () => {
  const faults = new Faults();
  faults.arm("go", "wait", 60_000);
  const held = step(faults, "go");
  assert.equal(faults.reached, "go");
  faults.release();
  await held;
  faults.arm("go", "wait", 1);
  assert.equal(faults.reached, null);
  await step(faults, "pages");
  assert.equal(faults.reached, null);
  await step(faults, "go");
  assert.equal(faults.reached, "go");
  await step(faults, "go");
});
