import assert from "node:assert/strict";
import { test } from "node:test";
import { GiB, MiB, type NodeId } from "../base/mod.ts";
import { SeededRandom } from "../io/mod.ts";
import { PLACE_KNOBS } from "./knobs.ts";
import { place, placeAgain, type PlaceState } from "./place.ts";
import { aNode, N1, N2, N3 } from "./test-views.ts";

const wants = { cpu: 1, rss: 50 * MiB, home: N1 };
const where = (state: Partial<PlaceState>, more = {}, seed = 1): NodeId | null =>
  place(
    { self: aNode(N1), others: [aNode(N2)], inFlight: new Set(), ...state },
    { ...wants, ...more },
    PLACE_KNOBS,
    new SeededRandom(seed),
  );

test("here while a CPU is free here, elsewhere when none is", () => {
  assert.equal(where({}), null);
  assert.equal(where({ self: aNode(N1, { load: 1 }) }), N2);
  assert.equal(where({ self: aNode(N1, { load: 1 }), others: [aNode(N2, { load: 1 })] }), null);
  assert.equal(where({ others: [aNode(N2, { speed: 20_000 })] }), N2);
});

test("eight at once spread over two nodes", () => {
  const placed = new Map<NodeId, number>();
  for (let i = 0; i < 8; i++) {
    const to = where({ placed }) ?? N1;
    placed.set(to, (placed.get(to) ?? 0) + 1);
  }
  assert.deepEqual([placed.get(N1), placed.get(N2)], [4, 4]);
});

test("where its memory fits, if that is not here; nowhere that it may not go", () => {
  const self = aNode(N1, { memFree: 40 * MiB });
  assert.equal(where({ self, others: [aNode(N2, { load: 1 })] }, { rss: GiB }), N2);
  assert.equal(where({ self, others: [aNode(N2, { memFree: 100 * MiB })] }, { rss: GiB }), null);
  const busy = aNode(N1, { load: 3 });
  assert.equal(where({ self: busy }, { allowed: (n: NodeId) => n !== N2 }), null);
  assert.equal(where({ self: busy, others: [aNode(N2, { accepts: false }), aNode(N3, { ageMs: 60_000 })] }), null);
  assert.equal(where({ self: busy, inFlight: new Set([N2]) }), null);
  assert.equal(where({ self: busy, others: [aNode(N2, { load: 0.6, ownLoad: 0.6 })] }), null);
});

test("a node whose CPUs are free again counts as such, though what it tells falls slowly", () => {
  const self = aNode(N1, { load: 1 });
  assert.equal(where({ self, others: [aNode(N2, { load: 0.8 })] }), null);
  assert.equal(where({ self, others: [aNode(N2, { load: 0.8, util: 0.1 })] }), N2);
  assert.equal(where({ self, others: [aNode(N2, { load: 0.8, util: 1 })] }), null);
});

test("one that is short, or asks home for much, goes only where it gains more than the way and its calls cost", () => {
  const self = aNode(N1, { load: 1 });
  const others = [aNode(N2, { rttMs: 0.3 })];
  assert.equal(where({ self, others }, { work: 1, calls: 100 }), N2);
  assert.equal(
    where({ self, others }, { work: 1, calls: 5000 }),
    null,
    "half of the CPU here is more than so many calls leave of it there",
  );
  assert.equal(where({ self: aNode(N1, { load: 8 }), others }, { work: 1, calls: 5000 }), N2, "but a ninth of it is not");
  assert.equal(where({ self, others }, { work: 0.01 }), null, "it would be over before it was there");
});

test("where others use a node's CPUs they are not free, however little was used just now", () => {
  const self = aNode(N1, { load: 1 });
  assert.equal(where({ self, others: [aNode(N2, { load: 1, util: 0.1 })] }), N2, "its own load falls slowly");
  assert.equal(where({ self, others: [aNode(N2, { load: 1, util: 0.1, got: 0.5 })] }), null);
  // Two CPUs of which others use one: the other one is free.
  assert.equal(where({ self, others: [aNode(N2, { cpus: 2, load: 1, util: 0.5, got: 1 })] }), N2);
  assert.equal(where({ self: aNode(N1, { load: 3 }), others: [aNode(N2, { load: 12, util: 0.9, got: 0.08 })] }), null);
});

test("a process that runs is no reason to leave its own node, and a crowd is, wherever one asks", () => {
  const again = (at: NodeId, nodes: Parameters<typeof placeAgain>[1], more = {}): NodeId =>
    placeAgain(at, nodes, { ...wants, ...more }, PLACE_KNOBS, new SeededRandom(1));
  const idle = aNode(N2);
  assert.equal(again(N1, [aNode(N1, { load: 1 }), idle]), N1);
  assert.equal(again(N1, [aNode(N1, { load: 2 }), idle], { cpu: 0.5 }), N2);
  assert.equal(again(N1, [aNode(N1, { load: 2 }), aNode(N2, { load: 1 })], { cpu: 0.5 }), N1, "there it would be two as well");
  assert.equal(again(N2, [aNode(N1), aNode(N2, { load: 1, util: 1 })]), N2);
  assert.equal(again(N2, [aNode(N1), aNode(N2, { load: 3, util: 1 }), aNode(N3, { load: 1 })], { cpu: 0.33 }), N1);
  assert.equal(again(N1, [aNode(N1, { load: 1, got: 1 }), aNode(N2, { load: 1, got: 0.5, util: 0.9 })]), N1);
  assert.equal(again(N3, [aNode(N1)]), N3, "nothing is known of where it is");
});
