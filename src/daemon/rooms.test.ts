import assert from "node:assert/strict";
import { test } from "node:test";
import { BALANCE_KNOBS, type NodeView } from "../balance/mod.ts";
import { GiB, nodeId, TeselaError } from "../base/mod.ts";
import type { Caller } from "./authorize.ts";
import { Members } from "./members.ts";
import { Rooms } from "./rooms.ts";
import type { RoomAsk, RoomHere } from "./shapes.ts";
import { FakeWatcher, fakePeer } from "./test-members.ts";

const ROOT: Caller = { uid: 0, gid: 0, via: null };
const ASK: RoomAsk = { pid: process.pid, queue: true, memory: 0, waitedMs: 0 };
const node = (id: number, load: number): NodeView => ({
  ...{ id: nodeId(id), cpus: 1, speed: 10_000, load, memTotal: 4 * GiB, memFree: 3 * GiB, ageMs: 0 },
  ...{ accepts: true, bandwidth: 100e6, rttMs: 0.3 },
});
const refusedWith = (code: string, text: RegExp) => (e: unknown) => e instanceof TeselaError && e.code === code && text.test(e.message);

/** Node 1 is busy; 2 and 3 are said to be free, and answer what the test says; 4 is down. */
class World implements AsyncDisposable {
  here: RoomHere = { refusal: null };
  asked = 0;
  readonly members: Members;
  readonly rooms: Rooms;

  constructor() {
    const watcher = new FakeWatcher();
    for (const id of [2, 3]) watcher.states.set(id, "up");
    const question = (what: string): Promise<RoomHere> => {
      assert.equal(what, "POST /room/here");
      this.asked++;
      return Promise.resolve(this.here);
    };
    this.members = new Members(1, () => Promise.resolve({ ...fakePeer, question }), watcher);
    this.members.set([1, 2, 3, 4].map((id) => ({ id, name: `h${id}`, address: `10.88.0.${id}`, port: 4660 })));
    const places = (): NodeView[] => [node(1, 1), node(2, 0), node(3, 0)];
    this.rooms = new Rooms({ self: { id: 1, name: "h1" }, members: this.members, places, rss: () => 0, knobs: () => BALANCE_KNOBS });
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.members[Symbol.asyncDispose]();
  }
}

test("the node is asked, since it alone knows what it is now; those that refuse are told of", async () => {
  await using w = new World();
  assert.deepEqual(await w.rooms.answer({ ...ASK, node: "h3" }, ROOT), { node: 3 });
  w.here = { refusal: "node 2 has no whole CPU free: tasks want 1.00 of its 1", load: 1, memFree: GiB };
  const busy = await w.rooms.answer(ASK, ROOT);
  assert.deepEqual([busy.node, w.asked], [null, 3]);
  assert.match(JSON.stringify(busy), /node 1 has no whole CPU free: .*, node 2 has no whole CPU free: .*, node 3 has no whole CPU free/);
  await w.rooms.answer(ASK, ROOT);
  assert.equal(w.asked, 3, "what it has said holds for a moment");
});

test("a node whose numbers do not tell why it refuses is not asked for ever", { timeout: 10_000 }, async () => {
  await using w = new World();
  w.here = { refusal: "node 2 takes no processes", load: 0, memFree: 3 * GiB };
  const answer = await w.rooms.answer({ ...ASK, list: "2" }, ROOT);
  assert.deepEqual([answer.node, w.asked], [null, 2]);
  assert.match(JSON.stringify(answer), /node 2 takes no processes/);
});

test("where it may begin: by name, list and mask; whose it is", async () => {
  await using w = new World();
  await assert.rejects(w.rooms.answer({ ...ASK, node: "9" }, ROOT), refusedWith("E_NONODE", /no node '9'/));
  await assert.rejects(w.rooms.answer({ ...ASK, list: "7-9" }, ROOT), refusedWith("E_NONODE", /no nodes 7-9 in this cluster/));
  await assert.rejects(w.rooms.answer({ ...ASK, mask: "!2,9" }, ROOT), refusedWith("E_NONODE", /no node 9 in this cluster/));
  const now = { ...ASK, queue: false, memory: GiB };
  await assert.rejects(w.rooms.answer({ ...now, node: "4" }, ROOT), refusedWith("E_NODE_DOWN", /node 4/));
  await assert.rejects(
    w.rooms.answer({ ...now, memory: 5 * GiB, mask: "2" }, ROOT),
    refusedWith("E_NOMEM", /node 1 lacks .*, node 2 lacks \S+ \S+$/),
  );
  assert.deepEqual(await w.rooms.answer({ ...now, node: "home" }, ROOT), { node: 1 }, "without a queue only memory counts");
  assert.equal((await w.rooms.answer({ ...ASK, node: "4" }, ROOT)).node, null, "who waits may wait for one that is down");
  const stranger = { uid: 54321, gid: 54321, via: null };
  await assert.rejects(w.rooms.answer({ ...ASK, pid: 1 }, stranger), refusedWith("E_PERM", /may not/));
});
