import assert from "node:assert/strict";
import { test } from "node:test";
import { MiB, type NodeId } from "../base/mod.ts";
import { SeededRandom } from "../io/mod.ts";
import { balance } from "./balance.ts";
import { BALANCE_KNOBS } from "./knobs.ts";
import { aNode, aProcess, aState, N1, N2, N3 } from "./test-views.ts";
import type { BalanceState, Decision, NodeView } from "./views.ts";

const run = (with_: Partial<BalanceState>, seed = 1): Decision[] => balance(aState(with_), BALANCE_KNOBS, new SeededRandom(seed));
const moved = (decisions: readonly Decision[]): Decision | null => decisions.find((d) => d.to !== null) ?? null;
const whyOf = (decisions: readonly Decision[], pid = 11): string => decisions.find((d) => d.pid === pid)?.why ?? "";

test("of two that share a CPU one goes to an idle node, and each decision has its numbers", () => {
  const all = run({});
  assert.equal(all.length, 2);
  assert.equal(moved(all)?.to, N2);
  assert.equal(moved(all)?.motive, "load");
  assert.match(whyOf(all), /^moves to node 2: it would be at 1\.00, here it is 2\.00; gains 10\.0 s of 20\.0 s, costs 0\.13 s$/);
  assert.match(whyOf(all, 12), /^stays: process 11 goes first/);
  const [seen] = all[1]?.considered ?? [];
  assert.deepEqual([seen?.node, Math.round(seen?.gain ?? 0)], [N2, 10]);
});

test("a node that is not overloaded keeps what it has", () => {
  const all = run({ self: aNode(N1, { load: 1 }), processes: [aProcess(11, { cpu: 1 })] });
  assert.equal(moved(all), null);
  assert.equal(whyOf(all), "stays: node 1 is not overloaded (load 1.00)");
});

test("two jobs on two CPUs gain nothing on an idle node", () => {
  const all = run({ self: aNode(N1, { load: 1.2, cpus: 2 }), processes: [aProcess(11, { cpu: 0.83, cpuMs: 1000 })] });
  assert.equal(moved(all), null);
});

test("MOSIX's guard: one apart is not enough, two are", () => {
  const five = Array.from({ length: 5 }, (_, i) => aProcess(11 + i, { cpu: 0.2 }));
  const self = aNode(N1, { load: 5 });
  const near = run({ self, processes: five, others: [aNode(N2, { load: 4 })] });
  assert.equal(moved(near), null);
  assert.equal(whyOf(near), "stays: node 2 would be at 5.00, here it is 5.00: too little between them");
  assert.equal(moved(run({ self, processes: five, others: [aNode(N2, { load: 3 })] }))?.to, N2);
});

test("what a process brings depends on the target's speed", () => {
  // Twice as fast: one more task raises its load by a half.
  const processes = [aProcess(11), aProcess(12)];
  assert.equal(moved(run({ processes, others: [aNode(N2, { load: 1.2, speed: 20_000 })] }))?.to, N2);
  assert.equal(moved(run({ processes, others: [aNode(N2, { load: 1.2 })] })), null);
  // Half as fast: an idle one would be at 2.
  assert.equal(moved(run({ processes, others: [aNode(N2, { speed: 5000 })] })), null);
});

test("a move that does not pay is not made, and says by how much", () => {
  const all = run({ processes: [aProcess(11, { cpuMs: 1100, rss: 110 * MiB }), aProcess(12, { fixed: ["lock"] })] });
  assert.equal(moved(all), null);
  assert.equal(
    whyOf(all),
    "stays: node 2 would be at 1.00, here it is 2.00: moving would gain 1.1 s of the 2.2 s that it is taken to run on, and cost 1.2 s",
  );
  assert.equal(whyOf(all, 12), "stays: it may not move by itself (lock)");
  const scarcely = run({ processes: [aProcess(11, { cpuMs: 1300, rss: 110 * MiB })] });
  assert.match(
    whyOf(scarcely),
    /would gain 1\.3 s of the 2\.6 s that it is taken to run on, and cost 1\.2 s; the gain has to be 1\.25 times the cost$/,
  );
});

test("a process that calls home all the time stays", () => {
  const processes = [aProcess(11, { calls: 4000 }), aProcess(12, { calls: 4000 })];
  assert.equal(moved(run({ processes })), null);
  assert.equal(moved(run({ processes: [aProcess(11, { calls: 4000 }), aProcess(12, { calls: 100 })] }))?.pid, 12);
});

test("a CPU job moves as if its calls cost nothing", () => {
  const callers = (job?: "cpu") => [11, 12].map((pid) => aProcess(pid, { calls: 4000, ...(job && { job }) }));
  assert.equal(moved(run({ processes: callers() })), null);
  assert.equal(moved(run({ processes: callers("cpu") }))?.to, N2);
});

test("an I/O job is not sent away for load, and goes home as soon as there is memory for it there", () => {
  const here = run({ processes: [aProcess(11, { job: "io" }), aProcess(12)] });
  assert.equal(moved(here)?.pid, 12);
  assert.match(whyOf(here, 11), /^stays: it is an I\/O job/);
  const away = (home: Partial<NodeView>, with_ = {}) =>
    run({
      processes: [aProcess(21, { home: N2, job: "io", sinceMoveMs: 6000, ...with_ })],
      others: [aNode(N2, { load: 3, ...home }), aNode(N3)],
    });
  assert.deepEqual([moved(away({}))?.to, moved(away({}))?.motive], [N2, "home"]);
  assert.equal(moved(away({}, { sinceMoveMs: 1000 })), null, "it has just come");
  assert.equal(moved(away({}, { fixed: ["lock"] })), null);
  // The low mark is 205 MiB: what would leave but that would soon be sent away again.
  assert.equal(moved(away({ memFree: 400 * MiB })), null);
  assert.equal(moved(away({ memFree: 420 * MiB }))?.to, N2);
});

test("minimum stay doubles with each bounce", () => {
  const here = (sinceMoveMs: number, bounces: number) => run({ processes: [aProcess(11, { sinceMoveMs, bounces })] });
  assert.equal(moved(here(6000, 0))?.pid, 11);
  assert.equal(moved(here(6000, 1)), null);
  assert.equal(whyOf(here(6000, 1)), "stays: it came 6.0 s ago and stays 10.0 s at least");
  assert.equal(moved(here(11_000, 1))?.pid, 11);
  assert.equal(moved(here(320_000, 40))?.pid, 11);
});

test("nothing is weighed until the pause after a departure is over, which is shorter where more wait", () => {
  assert.deepEqual(run({ lastDepartureMs: 99_551 }), []);
  assert.ok(moved(run({ lastDepartureMs: 99_550 })));
  const self = aNode(N1, { load: 10 });
  assert.deepEqual(run({ self, lastDepartureMs: 99_911 }), []);
  assert.ok(moved(run({ self, lastDepartureMs: 99_910 })));
});

test("one arrival at a time, and no target that is closed, forbidden, forgotten or full", () => {
  const verdict = (with_: Partial<BalanceState>): string => {
    const all = run(with_);
    assert.equal(moved(all), null);
    return whyOf(all);
  };
  assert.equal(verdict({ inFlight: new Set([N2]) }), "stays: node 2 has another on its way there");
  assert.equal(verdict({ others: [aNode(N2, { accepts: false })] }), "stays: node 2 takes no processes");
  assert.equal(verdict({ others: [aNode(N2, { ageMs: 31_000 })] }), "stays: node 2 has not been heard of for too long");
  assert.equal(verdict({ others: [aNode(N2, { memFree: 210 * MiB })] }), "stays: node 2 has too little free memory");
  const allowed = (n: NodeId): boolean => n !== N2;
  assert.equal(verdict({ processes: [aProcess(11, { allowed })] }), "stays: node 2 is none that it may use");
  assert.equal(verdict({ others: [] }), "stays: no other node is known");
  // One CPU, its owner at work: nobody else's guests.
  assert.equal(verdict({ others: [aNode(N2, { load: 0.6, ownLoad: 0.6 })] }), "stays: node 2 is used by its owner");
});

test("near-equal targets share what comes, by chance", () => {
  const others = [aNode(N2), aNode(N3)];
  const targets = new Set(Array.from({ length: 20 }, (_, seed) => moved(run({ others }, seed))?.to));
  assert.deepEqual([...targets].sort(), [N2, N3]);
});

test("of targets that are as fast, the one with memory to spare", () => {
  const others = [aNode(N2, { memFree: 800 * MiB }), aNode(N3, { memFree: 3000 * MiB })];
  const processes = [aProcess(11, { rss: 500 * MiB, cpuMs: 100_000 })];
  for (let seed = 0; seed < 10; seed++) assert.equal(moved(run({ others, processes }, seed))?.to, N3);
});

test("the owner comes back: guests go home first, at once, one a round", () => {
  const guests = [aProcess(21, { home: N2, sinceMoveMs: 10, cpu: 0.3 }), aProcess(22, { home: N2, sinceMoveMs: 10, cpu: 0.2 })];
  const self = aNode(N1, { load: 3, ownLoad: 1 });
  const all = run({ self, processes: [...guests, aProcess(11)], lastDepartureMs: 99_900, others: [aNode(N2), aNode(N3)] });
  assert.deepEqual([moved(all)?.pid, moved(all)?.to, moved(all)?.motive], [21, N2, "owner"]);
  assert.match(whyOf(all, 21), /^goes home to node 2: the owner of node 1 is back \(own load 1\.00 of 3\.00\)/);
  // Home is crowded: another node that is not, rather than that.
  const crowded = run({ self, processes: guests, others: [aNode(N2, { load: 4 }), aNode(N3)] });
  assert.equal(moved(crowded)?.to, N3);
  // A home that takes no guests takes its own.
  const closed = run({ self, processes: guests, others: [aNode(N2, { accepts: false, up: true })] });
  assert.equal(moved(closed)?.to, N2);
  // There is room for both: nobody goes.
  assert.equal(moved(run({ self: aNode(N1, { load: 0.75, ownLoad: 0.25, cpus: 4 }), processes: guests })), null);
});

test("a guest goes home to an idle node, unless it would be slower there, has just come, or is about to end", () => {
  const self = aNode(N1, { load: 1 });
  const guest = (with_ = {}) => [aProcess(21, { home: N2, cpu: 1, sinceMoveMs: 60_000, ...with_ })];
  const all = run({ self, processes: guest() });
  assert.deepEqual([moved(all)?.to, moved(all)?.motive], [N2, "home"]);
  assert.equal(moved(run({ self, processes: guest({ sinceMoveMs: 1000 }) })), null);
  assert.equal(moved(run({ self, processes: guest({ sinceMoveMs: 50_000 }) })), null);
  assert.equal(moved(run({ self, processes: guest({ sinceMoveMs: 50_000 }), others: [aNode(N2, { speed: 20_000 })] })), null);
  // Earlier, if it calls home a lot.
  assert.equal(moved(run({ self, processes: guest({ sinceMoveMs: 50_000, calls: 500 }) }))?.to, N2);
  assert.equal(moved(run({ self, processes: guest({ cpuMs: 100 }) })), null);
  assert.equal(moved(run({ self, processes: guest(), others: [aNode(N2, { speed: 5000 })] })), null);
  assert.equal(moved(run({ self, processes: guest({ fixed: ["pinned"] }) })), null);
});

test("the same state, knobs and seed: the same decisions", () => {
  const others = [aNode(N2), aNode(N3)];
  assert.deepEqual(run({ others }, 7), run({ others }, 7));
});
