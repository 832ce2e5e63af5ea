import assert from "node:assert/strict";
import { test } from "node:test";
import { GiB, MiB, type NodeId } from "../base/mod.ts";
import { SeededRandom } from "../io/mod.ts";
import { lookAgainMs, type UsherState } from "./forecast.ts";
import { USHER_KNOBS } from "./knobs.ts";
import { aNode, aProcess, aState, N1, N2, N3 } from "./test-views.ts";
import type { Decision } from "./views.ts";
import { usher } from "./usher.ts";

const small = (memFree: number, id: NodeId = N1) => aNode(id, { memTotal: GiB, memFree });
const stateOf = (with_: Partial<UsherState>): UsherState => ({ ...aState({}), growth: 0, ...with_ });
const run = (with_: Partial<UsherState>, seed = 1): Decision[] => usher(stateOf(with_), USHER_KNOBS, new SeededRandom(seed));
const moves = (decisions: readonly Decision[]): [number, NodeId | null][] =>
  decisions.filter((d) => d.to !== null).map((d) => [d.pid, d.to]);
const grower = (rss: number, growth: number, with_ = {}) => aProcess(11, { rss, growth, ...with_ });

test("while memory lasts nothing is said", () => {
  assert.deepEqual(run({ self: small(800 * MiB), processes: [grower(100 * MiB, 10 * MiB)], growth: 10 * MiB }), []);
  assert.deepEqual(run({ self: small(100 * MiB), processes: [grower(100 * MiB, 0)], growth: 0 }), []);
});

test("a program that will fill the node moves before it does", () => {
  const all = run({ self: small(370 * MiB), processes: [grower(500 * MiB, 50 * MiB)], growth: 50 * MiB });
  assert.deepEqual(moves(all), [[11, N2]]);
  assert.equal(all[0]?.motive, "memory");
  const why =
    /^moves to node 2: free memory here, 370\.0 MiB, shrinks by 50\.0 MiB\/s and crosses the low mark of 51\.2 MiB in 6\.4 s; it takes 500\.0 MiB along in 5\.0 s, costs /;
  assert.match(all[0]?.why ?? "", why);
});

test("at 500 MB/s on a node of 1 GiB the move begins while most memory is free", () => {
  const fast = 500e6;
  const all = run({ self: small(700 * MiB), processes: [grower(200 * MiB, fast), aProcess(12)], growth: fast });
  assert.deepEqual(moves(all), [[11, N2]]);
  assert.equal(lookAgainMs(stateOf({ self: small(700 * MiB), growth: fast }), USHER_KNOBS) < 400, true);
  assert.equal(lookAgainMs(stateOf({}), USHER_KNOBS), 1000);
});

test("of those that would be enough the cheapest goes, a guest before the owner's own", () => {
  const self = small(60 * MiB);
  const big = aProcess(11, { rss: 600 * MiB });
  const less = aProcess(12, { rss: 100 * MiB });
  const guest = aProcess(13, { rss: 120 * MiB, home: N3 });
  const others = [aNode(N2), aNode(N3)];
  const growth = 8 * MiB;
  assert.deepEqual(moves(run({ self, processes: [big, less], others: [aNode(N2)], growth })), [[12, N2]]);
  assert.deepEqual(moves(run({ self, processes: [big, less, guest], others, growth })), [[13, N3]]);
});

test("several go when one is not enough, each to another node", () => {
  const processes = [11, 12, 13].map((pid) => aProcess(pid, { rss: 150 * MiB, growth: 30 * MiB }));
  const state = { self: small(70 * MiB), processes, growth: 200 * MiB };
  const both = moves(run({ ...state, others: [aNode(N2), aNode(N3)] }));
  assert.equal(both.length, 2);
  assert.equal(new Set(both.map(([, to]) => to)).size, 2);
});

test("best fit: a small one leaves the large node to large ones", () => {
  const others = [aNode(N2, { memTotal: 16 * GiB, memFree: 15 * GiB }), aNode(N3, { memTotal: GiB, memFree: 400 * MiB })];
  const all = run({ self: small(40 * MiB), processes: [aProcess(11, { rss: 100 * MiB })], others, growth: 0 });
  assert.deepEqual(moves(all), [[11, N3]]);
});

test("what fits nowhere stays, and says so", () => {
  const others = [small(300 * MiB, N2), aNode(N3, { accepts: false })];
  const all = run({ self: small(100 * MiB), processes: [grower(800 * MiB, 100 * MiB)], others, growth: 100 * MiB });
  assert.deepEqual(moves(all), []);
  assert.match(
    all[0]?.why ?? "",
    /^stays, though free memory here, .* in 0\.49 s: its 800\.0 MiB fit nowhere \(node 2 lacks 551\.2 MiB\)$/,
  );
  const fixed = run({ self: small(40 * MiB), processes: [grower(800 * MiB, 0, { fixed: ["mem_lock"] })] });
  assert.match(fixed[0]?.why ?? "", /^stays, though 40\.0 MiB are free here, .*: it may not move by itself \(mem_lock\)$/);
});

test("growth that no node holds for long goes where it lasts longer than here", () => {
  const fast = 400 * MiB;
  const others = [aNode(N2, { memTotal: 2 * GiB, memFree: 1200 * MiB, bandwidth: 1000 * MiB }), small(300 * MiB, N3)];
  assert.deepEqual(moves(run({ self: small(400 * MiB), processes: [grower(300 * MiB, fast)], others, growth: fast })), [[11, N2]]);
});

test("a hog that may not move makes the others go", () => {
  const hog = grower(700 * MiB, 20 * MiB, { fixed: ["lock"] });
  const all = run({ self: small(80 * MiB), processes: [hog, aProcess(12, { rss: 90 * MiB })], growth: 20 * MiB });
  assert.deepEqual(moves(all), [[12, N2]]);
});

test("what is on its way out counts as gone", () => {
  const state = { self: small(60 * MiB), processes: [aProcess(12, { rss: 90 * MiB })], growth: 100 * MiB };
  assert.equal(moves(run(state)).length, 1);
  assert.deepEqual(run({ ...state, departing: { bytes: 300 * MiB, growth: 100 * MiB } }), []);
});

test("what is on its way here is no growth, and as good as here", () => {
  const state = { self: small(500 * MiB), processes: [aProcess(12, { rss: 90 * MiB })], growth: 100 * MiB };
  assert.equal(moves(run({ ...state, self: small(150 * MiB) })).length, 1);
  assert.deepEqual(run({ ...state, self: small(150 * MiB), arriving: { bytes: 50 * MiB, rate: 100 * MiB } }), []);
  assert.equal(moves(run({ ...state, arriving: { bytes: 460 * MiB, rate: 100 * MiB } })).length, 1);
  // What grows here beside it does so all the same.
  assert.equal(
    moves(run({ ...state, self: small(150 * MiB), growth: 200 * MiB, arriving: { bytes: 50 * MiB, rate: 100 * MiB } })).length,
    1,
  );
});

test("a program that grows goes where nothing else does, and says for how long it counts on that", () => {
  const grows = aNode(N2, { memTotal: 2 * GiB, memFree: 1900 * MiB, memGrowth: 200 * MiB });
  const calm = aNode(N3, { memTotal: 2 * GiB, memFree: 1500 * MiB });
  const state = { self: small(120 * MiB), processes: [grower(300 * MiB, 40 * MiB)], growth: 40 * MiB };
  const all = run({ ...state, others: [grows, calm] });
  assert.deepEqual(moves(all), [[11, N3]]);
  // (1500 - 300 - 102.4) MiB at 40 MiB/s are 27.4 s; a node where it is but 22 s has filled up meanwhile.
  assert.ok(Math.abs((all[0]?.lasts ?? 0) - 27.44 / 1.25) < 0.01, `${all[0]?.lasts} s`);
  assert.deepEqual(moves(run({ ...state, others: [{ ...grows, memFree: 700 * MiB }] })), [], "it would be full as soon as this one");
});

test("swap traffic and pressure mean that it is high time, but only where memory is short", () => {
  const state = { self: small(150 * MiB), processes: [aProcess(12, { rss: 90 * MiB })], growth: 0 };
  assert.deepEqual(run(state), []);
  const all = run({ ...state, swapIn: 1 * MiB });
  assert.equal(moves(all).length, 1);
  assert.match(all[0]?.why ?? "", /^moves to node 2: memory here is short: 150\.0 MiB are free, and pages are swapped or waited for; /);
  assert.equal(moves(run({ ...state, pressure: 0.3 })).length, 1);
  assert.deepEqual(run({ ...state, self: small(600 * MiB), swapIn: 50 * MiB, pressure: 1 }), []);
});

/** One program grows on a node of 1 GiB, looked at as often as lookAgainMs() says. The least that was ever free, and whether it left. */
function fill(rate: number, bandwidth: number, stepMs = 10): { least: number; left: boolean } {
  let rss = 20 * MiB;
  let least = Number.POSITIVE_INFINITY;
  let last = { rss, atMs: 0 };
  let lookMs = 1000;
  for (let t = 0; t < 2_000_000; t += stepMs) {
    const memFree = 900 * MiB - rss;
    least = Math.min(least, memFree);
    if (memFree < 0) return { least, left: false };
    if (t >= lookMs) {
      const growth = ((rss - last.rss) * 1000) / (t - last.atMs);
      last = { rss, atMs: t };
      const state = stateOf({
        self: small(memFree),
        processes: [grower(rss, growth)],
        growth,
        others: [aNode(N2, { bandwidth, memTotal: 8 * GiB, memFree: 7 * GiB })],
      });
      // It stands still from now on: no more can be taken here.
      if (usher(state, USHER_KNOBS, new SeededRandom(1)).some((d) => d.pid === 11 && d.to !== null)) return { least, left: true };
      lookMs = t + lookAgainMs(state, USHER_KNOBS);
    }
    rss += (rate * stepMs) / 1000;
  }
  return { least, left: false };
}

test("up to 500 MB/s, over slow and fast networks: the program leaves before the low mark is crossed", () => {
  for (const rate of [10e6, 50e6, 200e6, 500e6]) {
    for (const bandwidth of [10e6, 100e6, 1000e6]) {
      const { least, left } = fill(rate, bandwidth);
      assert.ok(left && least >= 51.2 * MiB, `${rate} B/s over ${bandwidth} B/s: ${least} were free, it ${left ? "left" : "never left"}`);
    }
  }
});

test("one that has just come is not sent back for the memory that came with it", () => {
  const self = small(551 * MiB);
  const arrived = { rss: 412 * MiB, growth: 0, home: N2, sinceMoveMs: 400 };
  const state = { self, others: [small(774 * MiB, N2)], growth: 700 * MiB };
  assert.deepEqual(moves(run({ ...state, processes: [aProcess(11, arrived)] })), []);
  assert.match(run({ ...state, processes: [aProcess(11, arrived)] })[0]?.why ?? "", /it came 0\.40 s ago, and how it grows is not known/);
  assert.deepEqual(moves(run({ ...state, processes: [aProcess(11, { ...arrived, sinceMoveMs: 3000 })] })), [[11, N2]]);
});

test("one that grows fast and would not last long elsewhere either goes where it lasts longer, before it is too late", () => {
  const state = { self: small(462 * MiB), others: [small(950 * MiB, N2)], growth: 423 * MiB };
  assert.deepEqual(moves(run({ ...state, processes: [grower(238 * MiB, 350 * MiB)] })), [[11, N2]]);
});

test("growth that could be noise is met at the low mark", () => {
  const { least, left } = fill(1e6, 100e6);
  assert.ok(left && least > 49 * MiB && least < 52 * MiB);
});

test("a program that would fill the next node as soon as this one is not carried from node to node", () => {
  const self = aNode(N1, { memTotal: 2 * GiB, memFree: 1000 * MiB });
  const like = aNode(N2, { memTotal: 2 * GiB, memFree: 1950 * MiB });
  const processes = [grower(900 * MiB, 100 * MiB)];
  assert.deepEqual(moves(run({ self, processes, others: [like], growth: 100 * MiB })), []);
  // Where two of them grow it is worth it.
  const two = [...processes, aProcess(12, { rss: 100 * MiB, growth: 100 * MiB })];
  assert.equal(moves(run({ self: { ...self, memFree: 500 * MiB }, processes: two, others: [like], growth: 200 * MiB })).length, 1);
});

test("of nodes that are as near, the one with most room for a program that grows", () => {
  const others = [small(700 * MiB, N2), aNode(N3, { memTotal: GiB, memFree: 980 * MiB })];
  const state = { self: small(80 * MiB), processes: [grower(200 * MiB, 40 * MiB)], others, growth: 40 * MiB };
  for (let seed = 0; seed < 5; seed++) assert.deepEqual(moves(run(state, seed)), [[11, N3]]);
});

test("what a guest has brought along is no growth", () => {
  const self = small(150 * MiB);
  const came = aProcess(21, { home: N2, rss: 500 * MiB, sinceMoveMs: 300 });
  const state = { self, processes: [came, aProcess(12, { rss: 100 * MiB })], growth: 450 * MiB, others: [aNode(N3)] };
  assert.deepEqual(run(state), []);
  // What it grows by since is, once that is known.
  assert.equal(moves(run({ ...state, processes: [{ ...came, growth: 100 * MiB, sinceMoveMs: 2500 }] })).length, 1);
  // It has been here for a while: somebody takes that much.
  assert.equal(moves(run({ ...state, processes: [{ ...came, sinceMoveMs: 20_000 }] })).length, 1);
});
