import assert from "node:assert/strict";
import { test } from "node:test";
import { readProcesses } from "./stat.ts";
import { MACHINE, type MadeUp, Root, statText } from "./test-root.ts";
import { UseMeter } from "./use.ts";

/** What is used in a second, after which processes are so; null: not there any more. */
function use(before: Readonly<Record<number, MadeUp>>, now: Readonly<Record<number, MadeUp>>): number | null {
  const meter = new UseMeter();
  const looks = [before, now].map((all) => {
    using root = new Root({ ...MACHINE, ...Object.fromEntries(Object.entries(all).map(([pid, p]) => [`proc/${pid}/stat`, statText(p)])) });
    return readProcesses(root.path);
  });
  return looks.map((processes, i) => meter.look(processes, i * 1000))[1] ?? null;
}

test("what processes use that live, begin, have ended, and were waited for", () => {
  assert.equal(use({ 5: { ticks: 100 } }, { 5: { ticks: 140 }, 6: { ticks: 20, start: 9_990 } }), 0.6);
  // 6 ended after 10 ticks more, and a compiler that nobody saw took 30.
  assert.equal(use({ 5: { ticks: 3, childTicks: 7 }, 6: { ticks: 1000 } }, { 5: { ticks: 3, childTicks: 1047 } }), 0.4);
  assert.equal(use({ 6: { ticks: 1000 } }, { 6: { ticks: 1010, state: "Z" } }), 0.1);
});

test("a life that nobody waited for does not make others' work vanish", () => {
  assert.equal(use({ 5: { ticks: 100 }, 6: { ticks: 100_000 } }, { 5: { ticks: 150 } }), 0.5);
  // The same PID, another process.
  assert.equal(use({ 5: { ticks: 100_000, start: 1 } }, { 5: { ticks: 30, start: 9_990 } }), 0.3);
});
