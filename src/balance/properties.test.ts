import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { GiB, MiB, type NodeId, nodeId } from "../base/mod.ts";
import { SeededRandom } from "../io/mod.ts";
import { balance } from "./balance.ts";
import { brings, demand } from "./cost.ts";
import { forecast, holds, type UsherState, without } from "./forecast.ts";
import { pauseMs } from "./stay.ts";
import { BALANCE_KNOBS, PLACE_KNOBS, USHER_KNOBS } from "./knobs.ts";
import { place } from "./place.ts";
import { roomAfter } from "./target.ts";
import type { BalanceState, Decision, NodeView, ProcessView } from "./views.ts";
import { usher } from "./usher.ts";

const NODES = 6;
const mostly = fc.constantFrom(true, true, true, false);
const bytesUpTo = (most: number) => fc.integer({ min: 0, max: most });

const aView = (id: NodeId): fc.Arbitrary<NodeView> =>
  fc
    .record({
      cpus: fc.constantFrom(0.5, 1, 2, 8),
      part: fc.constantFrom(1, 1, 1, 0.7, 0.1),
      speed: fc.constantFrom(3000, 10_000, 25_000),
      load: fc.integer({ min: 0, max: 1200 }).map((n) => n / 100),
      memTotal: fc.constantFrom(GiB, 4 * GiB, 64 * GiB),
      free: fc.integer({ min: 0, max: 100 }).map((n) => n / 100),
      ageMs: fc.constantFrom(0, 500, 1000, 60_000),
      accepts: mostly,
      up: mostly,
      bandwidth: fc.constantFrom(10 * MiB, 1000 * MiB),
      rttMs: fc.constantFrom(0.1, 20),
      ownLoad: fc.constantFrom(0, 0, 0, 1),
    })
    .map(({ free, part, ...v }) => ({ ...v, id, got: v.cpus * part, memFree: Math.floor(v.memTotal * free), accepts: v.accepts && v.up }));

const aSubject = (pid: number): fc.Arbitrary<ProcessView> =>
  fc
    .record({
      home: fc.integer({ min: 1, max: NODES }).map(nodeId),
      cpu: fc.integer({ min: 0, max: 200 }).map((n) => n / 100),
      cpuMs: fc.integer({ min: 0, max: 1e7 }),
      rss: bytesUpTo(2 * GiB),
      growth: fc.constantFrom(-1e6, 0, 1e6, 1e7, 5e7, 5e8),
      calls: fc.constantFrom(0, 0, 10, 5000),
      sinceMoveMs: fc.constantFrom(0, 7000, Number.POSITIVE_INFINITY),
      bounces: fc.integer({ min: 0, max: 9 }),
      fixed: fc.constantFrom<readonly string[]>([], [], ["lock"]),
      forbidden: fc.integer({ min: 1, max: NODES }),
    })
    .map(({ forbidden, ...p }) => ({ ...p, pid, allowed: (n: NodeId) => n !== forbidden }));

const aWorld: fc.Arbitrary<BalanceState> = fc.record({
  self: aView(nodeId(1)).map((v) => ({ ...v, ageMs: 0 })),
  others: fc.tuple(...Array.from({ length: NODES - 1 }, (_, i) => aView(nodeId(i + 2)))),
  processes: fc.tuple(...Array.from({ length: 5 }, (_, i) => aSubject(100 + i))),
  nowMs: fc.constant(1e6),
  lastDepartureMs: fc.constantFrom(0, 1e6 - 500, 1e6 - 100),
  inFlight: fc.subarray([2, 3, 4, 5, 6].map(nodeId), { maxLength: 2 }).map((ids) => new Set(ids)),
});
const aUsherWorld: fc.Arbitrary<UsherState> = fc
  .tuple(aWorld, fc.constantFrom(0, 0, 1e7, 1e8))
  .map(([world, extra]) => ({ ...world, growth: extra + world.processes.reduce((sum, p) => sum + Math.max(0, p.growth), 0) / 2 }));

/** What holds for each move, whatever its motive. */
function checkMoves(state: Omit<BalanceState, "lastDepartureMs">, decisions: readonly Decision[]): void {
  const targets = new Set<NodeId>();
  for (const d of decisions) {
    assert.ok(d.why.length > 0 && !/NaN|undefined|null|Infinity/.test(`${d.why} ${d.considered.map((c) => c.verdict)}`), d.why);
    if (d.to === null) continue;
    const p = state.processes.find((x) => x.pid === d.pid);
    const n = state.others.find((x) => x.id === d.to);
    assert.ok(p && n);
    assert.ok(n.accepts || (n.up && n.id === p.home), "a node that takes no processes");
    assert.ok(n.ageMs <= BALANCE_KNOBS.maxAgeMs && p.allowed(n.id) && p.fixed.length === 0);
    assert.ok(!state.inFlight.has(n.id) && !targets.has(n.id), "two arrivals at once");
    assert.ok(n.memFree >= p.rss, "more than is free there");
    targets.add(n.id);
  }
}

test("property: balance moves one, where it may go, and no node ends up above the highest load there was", () => {
  let moved = 0;
  const runs = fc.property(aWorld, fc.integer(), (state, seed) => {
    const decisions = balance(state, BALANCE_KNOBS, new SeededRandom(seed));
    assert.deepEqual(decisions, balance(state, BALANCE_KNOBS, new SeededRandom(seed)));
    const moves = decisions.filter((d) => d.to !== null);
    assert.ok(moves.length <= 1);
    checkMoves(state, decisions);
    for (const d of moves) {
      moved++;
      const p = state.processes.find((x) => x.pid === d.pid);
      const n = state.others.find((x) => x.id === d.to);
      assert.ok(p && n);
      if (d.motive === "owner") continue;
      assert.ok(p.sinceMoveMs >= BALANCE_KNOBS.minStayMs && state.nowMs - state.lastDepartureMs >= pauseMs(state.self, BALANCE_KNOBS));
      const after = n.load + brings(demand(p, state.self), n);
      assert.ok(after <= Math.max(BALANCE_KNOBS.overload, state.self.load), `${after} there, ${state.self.load} here`);
    }
  });
  fc.assert(runs, { numRuns: 1000 });
  assert.ok(moved > 100, `only ${moved} of the made-up states had anything to move`);
});

test("property: usher moves only where there is room, and whenever one process alone would do and fits", () => {
  let solved = 0;
  const runs = fc.property(aUsherWorld, fc.integer(), (state, seed) => {
    const k = USHER_KNOBS;
    const decisions = usher(state, k, new SeededRandom(seed));
    assert.deepEqual(decisions, usher(state, k, new SeededRandom(seed)));
    checkMoves(state, decisions);
    const margin = k.marginMs / 1000;
    const start = forecast(state, k);
    if (holds(start, margin) || start.growth <= k.noise) return;
    // Overflow within the margin: is there one that would do?
    const does = state.processes.some((p) => {
      if (p.fixed.length > 0 || p.rss === 0 || p.sinceMoveMs < k.settleMs) return false;
      return state.others.some((n) => {
        const open = (n.accepts || (n.up && n.id === p.home)) && n.ageMs <= k.maxAgeMs && p.allowed(n.id) && !state.inFlight.has(n.id);
        const carry = p.rss / n.bandwidth + k.freezeMs / 1000;
        const after = without(start, p.rss, p.growth);
        const comfortable = roomAfter(n, p.rss + (Math.max(0, p.growth) * k.aheadMs) / 1000, k) >= 0;
        return open && comfortable && holds(after, carry + margin) && after.growth * carry <= start.free;
      });
    });
    if (!does) return;
    solved++;
    const gone = state.processes.filter((p) => decisions.some((d) => d.pid === p.pid && d.to !== null));
    assert.ok(gone.length > 0, "nobody goes, though one would do");
    const end = gone.reduce((f, p) => without(f, p.rss, p.growth), start);
    assert.ok(holds(end, margin), "memory overflows all the same");
  });
  fc.assert(runs, { numRuns: 1000 });
  assert.ok(solved > 20, `only ${solved} of the made-up states could be helped by one move`);
});

test("property: place names a node that takes it, or none", () => {
  const wants = fc.record({ cpu: fc.constantFrom(0.2, 1, 4), rss: bytesUpTo(GiB), home: fc.integer({ min: 1, max: NODES }).map(nodeId) });
  const runs = fc.property(aWorld, wants, fc.integer(), (state, want, seed) => {
    const to = place(state, want, PLACE_KNOBS, new SeededRandom(seed));
    if (to === null) return;
    const n = state.others.find((x) => x.id === to);
    assert.ok(n && (n.accepts || (n.up && n.id === want.home)) && n.ageMs <= PLACE_KNOBS.maxAgeMs);
    assert.ok(!state.inFlight.has(to) && n.memFree >= want.rss);
  });
  fc.assert(runs, { numRuns: 1000 });
});
