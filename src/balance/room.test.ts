import assert from "node:assert/strict";
import { test } from "node:test";
import { GiB, MiB } from "../base/mod.ts";
import { BALANCE_KNOBS } from "./knobs.ts";
import { lacking, type Needs, promised, roomiest } from "./room.ts";
import { aNode, N1, N2, N3 } from "./test-views.ts";
import type { NodeView } from "./views.ts";

const CPU: Needs = { tasks: 1, rss: 0 };
const lacks = (n: Partial<NodeView>, needs = CPU, self = false): string | null => lacking(aNode(N2, n), needs, self, BALANCE_KNOBS);

test("room is a free CPU, as of now", () => {
  assert.equal(lacks({}), null);
  assert.equal(lacks({ load: 0.1 }), null, "what the node itself does is not in the way");
  assert.equal(lacks({ load: 1 }), "node 2 has no whole CPU free: tasks want 1.00 of its 1");
  assert.equal(lacks({ load: 1, util: 0.02 }), null, "what it tells falls slowly");
  assert.equal(lacks({ load: 1, util: 1 }), "node 2 has no whole CPU free: tasks want 1.00 of its 1");
  assert.equal(lacks({ load: 0.5, cpus: 2 }), null);
  assert.equal(lacks({ load: 1, cpus: 2 }), "node 2 has no whole CPU free: tasks want 2.00 of its 2");
  assert.equal(
    lacks({ load: 0.5, cpus: 1, speed: 20_000 }),
    "node 2 has no whole CPU free: tasks want 1.00 of its 1",
    "a fast one is busy as well",
  );
  assert.equal(lacks({ load: 0.36 }), "node 2 has no whole CPU free: tasks want 0.36 of its 1");
  // Others use 0.7 of its two CPUs, which its load counts already.
  assert.equal(lacks({ load: 0.36, cpus: 2, got: 1.3 }), null);
  assert.equal(lacks({ load: 0.7, cpus: 2, got: 1 }), "node 2 has no whole CPU free: tasks want 1.40 of its 2");
});

test("and the memory, above what is kept free; no CPU for whom asks for none", () => {
  const needs = { tasks: 0, rss: GiB };
  assert.equal(lacks({ load: 5 }, needs), null);
  // The low mark of 4 GiB is 205 MiB.
  assert.equal(lacks({ memFree: 1024 * MiB }, needs), "node 2 lacks 204.8 MiB");
  assert.equal(lacks({ memFree: 0 }), null);
});

test("nowhere that takes nobody, but at home always", () => {
  assert.equal(lacks({ accepts: false }), "node 2 takes no processes");
  assert.equal(lacks({ accepts: false, closed: "'block' is set there" }), "node 2 takes no processes ('block' is set there)");
  assert.equal(lacks({ accepts: false }, CPU, true), null);
  assert.equal(lacks({ ageMs: 40_000 }), "node 2 has not been heard of for too long");
  assert.equal(lacks({ cpus: 0 }), "node 2 has not said what it is");
});

test("what was promised to others is not there any more", () => {
  const n = promised(aNode(N2, { cpus: 2, load: 1, util: 0.1 }), { tasks: 1, rss: 2 * GiB });
  assert.equal(lacks(n), null);
  assert.equal(lacks(promised(n, CPU)), "node 2 has no whole CPU free: tasks want 2.20 of its 2");
  assert.equal(lacks(n, { tasks: 0, rss: GiB }), "node 2 lacks 204.8 MiB");
});

test("of several the fastest, then the one with most memory", () => {
  const nodes = [aNode(N1, { load: 0.5 }), aNode(N2, { memFree: GiB }), aNode(N3)];
  assert.equal(roomiest(nodes, CPU)?.id, N3);
  assert.equal(roomiest([...nodes, aNode(N1, { speed: 20_000 })], CPU)?.speed, 20_000);
  assert.equal(roomiest([], CPU), null);
});
