import assert from "node:assert/strict";
import { test } from "node:test";
import { Figures } from "./figures.ts";
import type { Pace } from "./hints.ts";
import type { EngineRow } from "./shapes.ts";

const ROW: EngineRow = {
  ...{ pid: 7, cpid: "1:7", home: 1, node: 1, nmigs: 0, state: "R", cpu: 1, rss: 0, user: "ann", lock: false, cantmove: [], command: "x" },
  ...{ role: "home", cpuMs: 0, calls: 0 },
};

/** Looks once a second at a process that computes for `busy` seconds and then sleeps: what its share is said to be. */
function shares(pace: Pace | null, busy: number, seconds: number): number[] {
  const figures = new Figures();
  return Array.from({ length: seconds + 1 }, (_, s) => {
    const cpuMs = 1000 * Math.min(s, busy);
    const row = { ...ROW, cpuMs, calls: cpuMs, cpu: s < busy ? 1 : 0 };
    const figure = figures.take([row], 1000 * s, () => pace).get("1:7");
    assert.ok(figure);
    // Without a pace the first look counts for a while, and calls begin with none.
    if (s > 0 && pace) assert.ok(Math.abs(figure.calls - 1000 * figure.cpu) < 1e-6, "calls follow as the share does");
    return figure.cpu;
  });
}

test("without a decay of its own an average follows within seconds", () => {
  const all = shares(null, 10, 20);
  assert.equal(all[10], 1);
  assert.ok((all[20] ?? 1) < 0.02);
});

test("one that forgets nothing is the mean of all that was seen", () => {
  const all = shares({ seconds: 1, keep: 1000 }, 10, 40);
  for (const [s, want] of [
    [10, 1],
    [20, 0.5],
    [40, 0.25],
  ] as const)
    assert.ok(Math.abs((all[s] ?? 0) - want) < 1e-9, `${s} s: ${all[s]}`);
});

test("after each interval so many thousandths of what was count", () => {
  // It has seen as much of one as of the other by then; the half of what was counts after 10 s more.
  const all = shares({ seconds: 10, keep: 500 }, 100, 130);
  assert.ok(Math.abs((all[110] ?? 0) - 0.5) < 1e-6, `${all[110]}`);
  assert.ok(Math.abs((all[130] ?? 0) - 0.125) < 1e-6, `${all[130]}`);
});

test("looks that follow at once change nothing", () => {
  const figures = new Figures();
  figures.take([ROW], 0);
  assert.equal(figures.take([{ ...ROW, cpuMs: 100 }], 100).get("1:7")?.cpuMs, 0);
});
