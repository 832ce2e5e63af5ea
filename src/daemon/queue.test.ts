import assert from "node:assert/strict";
import { test } from "node:test";
import { BALANCE_KNOBS, type NodeView } from "../balance/mod.ts";
import { GiB, MiB, nodeId, TeselaError } from "../base/mod.ts";
import { Queue, type Want } from "./queue.ts";
import type { RoomAnswer } from "./shapes.ts";

const node = (id: number, with_: Partial<NodeView> = {}): NodeView => ({
  ...{ id: nodeId(id), cpus: 1, speed: 10_000, load: 0, memTotal: 4 * GiB, memFree: 3 * GiB, ageMs: 0 },
  ...{ accepts: true, bandwidth: 100e6, rttMs: 0.3 },
  ...with_,
});
const want = (pid: number, with_: Partial<Want> = {}): Want => ({
  ...{ pid, needs: { tasks: 1, rss: 0 }, may: () => true, best: false, waitedMs: 0 },
  ...with_,
});

class World {
  readonly gone = new Set<number>();
  readonly sizes = new Map<number, number>();
  readonly queue = new Queue({ self: 1, alive: (pid) => !this.gone.has(pid), rss: (pid) => this.sizes.get(pid) ?? 0 });
  nodes = [node(1), node(2)];
  ask(w: Want, now: number): RoomAnswer {
    return this.queue.ask(w, this.nodes, now, BALANCE_KNOBS);
  }
  take(w: Want, now: number): RoomAnswer {
    return this.queue.take(w, this.nodes, now, BALANCE_KNOBS);
  }
}
const place = (a: RoomAnswer): string => (a.node === null ? `${a.place}/${a.waiting}` : `on ${a.node}`);
const busy = (id: number): NodeView => node(id, { load: 1 });

test("at home first, then elsewhere, then in a line; who asks last goes last", () => {
  const w = new World();
  assert.deepEqual(
    [11, 12, 13, 14].map((pid) => place(w.ask(want(pid), 0))),
    ["on 1", "on 2", "1/1", "2/2"],
  );
  w.nodes = [busy(1), busy(2)];
  const waits = w.ask(want(13), 4000);
  assert.deepEqual(waits, {
    node: null,
    place: 1,
    waiting: 2,
    why: "node 1 has no whole CPU free: tasks want 1.00 of its 1, node 2 has no whole CPU free: tasks want 1.00 of its 1",
  });
  assert.deepEqual(w.ask(want(14), 4000), { node: null, place: 2, waiting: 2, why: "others wait for the same nodes before it" });
  w.nodes = [busy(1), node(2)];
  assert.equal(place(w.ask(want(14), 4100)), "2/2", "the one before it asks in a moment");
  assert.equal(place(w.ask(want(13), 4200)), "on 2");
  assert.equal(place(w.ask(want(14), 4300)), "1/1", "what has just been promised does not show in the load yet");
});

test("whoever may go elsewhere does not wait for one before that may not", () => {
  const w = new World();
  w.nodes = [node(1), busy(2)];
  assert.equal(place(w.ask(want(11, { may: (n) => n === 2 }), 0)), "1/1");
  assert.equal(place(w.ask(want(12), 0)), "on 1");
  w.nodes = [busy(1), node(2)];
  assert.equal(place(w.ask(want(13), 1)), "2/2");
});

test("who has ended, or asks no more, keeps nobody", () => {
  const w = new World();
  w.nodes = [busy(1)];
  for (const pid of [11, 12, 13]) w.ask(want(pid), 0);
  w.gone.add(11);
  assert.equal(place(w.ask(want(13), 1000)), "2/2");
  assert.equal(place(w.ask(want(13), 5500)), "1/1");
});

test("after a restart the line is as it was, by how long each has waited", () => {
  const w = new World();
  w.nodes = [busy(1)];
  w.ask(want(20, { waitedMs: 1000 }), 10_000);
  w.ask(want(10, { waitedMs: 500 }), 10_000);
  assert.equal(place(w.ask(want(30, { waitedMs: 9000 }), 10_100)), "1/3");
  assert.equal(place(w.ask(want(10, { waitedMs: 700 }), 10_200)), "3/3");
});

test("memory is kept for whom it was promised to, until he has taken it, ends, or leaves it for long", () => {
  const w = new World();
  w.nodes = [node(1)];
  const large = (pid: number): Want => want(pid, { needs: { tasks: 0, rss: 2 * GiB } });
  const refused = (e: unknown): boolean =>
    e instanceof TeselaError && e.code === "E_NOMEM" && /no node has 2.0 GiB .*: node 1 lacks/.test(e.message);
  assert.deepEqual(w.take(large(11), 0), { node: 1 });
  assert.throws(() => w.take(large(12), 5000), refused);
  w.sizes.set(11, 2 * GiB);
  assert.deepEqual(w.take(large(12), 5000), { node: 1 }, "what it has by now shows in what is free");
  w.gone.add(12);
  w.sizes.clear();
  assert.throws(() => w.take(large(13), 6000), refused);
  assert.deepEqual(w.take(large(13), 30_000), { node: 1 });
});

test("the best is where it runs fastest; what takes no processes refuses", () => {
  const w = new World();
  w.nodes = [node(1), node(2, { speed: 20_000 })];
  assert.equal(place(w.ask(want(11, { best: true }), 0)), "on 2");
  w.nodes = [node(1), node(2, { accepts: false })];
  const there = want(12, { may: (n) => n === 2, needs: { tasks: 0, rss: MiB } });
  assert.throws(
    () => w.take(there, 0),
    (e) => e instanceof TeselaError && e.code === "E_REFUSED",
  );
  assert.match((w.ask(there, 0) as { why: string }).why, /node 2 takes no processes/);
});

test("a node that has no room after all: the place in the line is as it was", () => {
  const w = new World();
  w.nodes = [busy(1), busy(2)];
  w.ask(want(11), 0);
  w.ask(want(12), 1);
  w.nodes = [busy(1), node(2)];
  assert.equal(place(w.ask(want(11), 100)), "on 2");
  w.queue.takeBack(11);
  w.nodes = [busy(1), busy(2)];
  assert.equal(place(w.ask(want(12), 200)), "2/2");
  assert.equal(place(w.ask(want(11), 300)), "1/2");
});
