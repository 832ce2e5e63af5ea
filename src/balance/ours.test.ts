import assert from "node:assert/strict";
import { test } from "node:test";
import { Ours } from "./ours.ts";
import { aNode, N2 } from "./test-views.ts";

/** As nodes tell of themselves: up at once, down by an eighth each time. */
const told = (old: number, now: number): number => (now >= old ? now : (7 * old + now) / 8);

test("own programs count where they run now, those of others as they are told of", () => {
  let running = 0;
  let load = 0;
  const ours = new Ours(() => running);
  const look = (foreign: number): void => {
    load = told(load, running + foreign);
    ours.average(aNode(N2), told);
  };
  running = 4;
  look(0);
  assert.equal(ours.present(aNode(N2, { load })).load, 4);
  running = 1;
  look(0);
  assert.ok(load > 3, "what is told falls slowly");
  assert.equal(ours.present(aNode(N2, { load })).load, 1);
  running = 0;
  for (let i = 0; i < 40; i++) look(2);
  assert.ok(Math.abs(ours.present(aNode(N2, { load })).load - 2) < 0.05, "somebody else's");
  running = 3;
  assert.ok(ours.present(aNode(N2, { load, util: 0.1 })).load >= 3, "in full, though its CPUs are not in use yet");
});
