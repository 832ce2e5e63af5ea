import assert from "node:assert/strict";
import { test } from "node:test";
import { GiB, MiB, type NodeId } from "../base/mod.ts";
import { SeededRandom } from "../io/mod.ts";
import { PLACE_KNOBS } from "./knobs.ts";
import { place, type PlaceState } from "./place.ts";
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
