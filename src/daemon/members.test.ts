import assert from "node:assert/strict";
import { test } from "node:test";
import { TeselaError } from "../base/mod.ts";
import { Members } from "./members.ts";
import type { PeerControl } from "./peer.ts";
import type { NodeState } from "./shapes.ts";
import { FakeWatcher, fakePeer } from "./test-members.ts";

const ROOT = { uid: 0, gid: 0, via: null };
const peer = (id: number, port = 4660) => ({ id, name: `h${id}`, address: "10.0.0.1", port });
const link = (e: unknown): boolean => e instanceof TeselaError && e.code === "E_LINK";

/** Members 2 and 3 of node 1, and what is dialled. */
class World {
  readonly watcher = new FakeWatcher();
  readonly dialled: string[] = [];
  readonly streams: { readonly control: PeerControl; readonly close: () => void }[] = [];
  answer: (signal: AbortSignal | undefined) => Promise<unknown> = () => Promise.resolve("fine");
  refuses = false;
  readonly members: Members;

  constructor(idleMs = 10_000) {
    this.members = new Members(1, (p) => this.dial(p), this.watcher, { dialMs: 1000, idleMs });
    this.members.set([peer(1), peer(2), peer(3)]);
    this.set(2, "up");
    this.set(3, "up");
  }
  set(id: number, state: NodeState): void {
    this.watcher.states.set(id, state);
  }
  /** Streams that are open. */
  get open(): number {
    return this.streams.length;
  }
  ask(id: number): Promise<unknown> {
    return this.members.control(id).question("x", null, ROOT);
  }
  private dial(p: { id: number; port: number }): Promise<PeerControl> {
    this.dialled.push(`${p.id}:${p.port}`);
    if (this.refuses) return Promise.reject(new TeselaError("E_NODE_DOWN", "refused"));
    const end = Promise.withResolvers<void>();
    const close = (): void => {
      const at = this.streams.findIndex((s) => s.close === close);
      if (at >= 0) this.streams.splice(at, 1);
      end.resolve();
    };
    const lost = end.promise.then(() => Promise.reject(new TeselaError("E_LINK", "closed")));
    lost.catch(() => undefined);
    const control: PeerControl = { ...fakePeer, question: () => Promise.race([this.answer(undefined), lost]), close, closed: end.promise };
    this.streams.push({ control, close });
    return Promise.resolve(control);
  }
}

test("states are the watcher's; who is down is not asked, and no stream is opened before there is a question", async () => {
  const w = new World();
  w.set(3, "down");
  assert.deepEqual(
    w.members.list().map((m) => [m.peer.id, m.state]),
    [
      [2, "up"],
      [3, "down"],
    ],
  );
  assert.equal(w.members.find("h2")?.state, "up");
  assert.throws(() => w.members.control(3), /node 3 \(h3, 10.0.0.1\) is down/);
  assert.throws(() => w.members.control(9), /no node 9/);
  assert.equal(w.members.controls().length, 1);
  assert.deepEqual(w.dialled, []);
  assert.deepEqual(await Promise.all([w.ask(2), w.ask(2)]), ["fine", "fine"]);
  assert.deepEqual([w.dialled, w.open], [["2:4660"], 1]);
  await w.members[Symbol.asyncDispose]();
  await new Promise(setImmediate);
  assert.equal(w.open, 0);
});

test("a stream that broke, could not be opened, or was idle, is opened anew by the next question", async () => {
  const w = new World(20);
  const cut = async (): Promise<void> => {
    w.streams[0]?.close();
    await new Promise(setImmediate);
  };
  await w.ask(2);
  await cut();
  await w.ask(2);
  assert.equal(w.dialled.length, 2);
  await cut();
  w.refuses = true;
  await assert.rejects(w.ask(2), (e) => e instanceof TeselaError && e.code === "E_NODE_DOWN");
  w.refuses = false;
  await w.ask(2);
  assert.equal(w.dialled.length, 4);
  while (w.open > 0) await new Promise((r) => setTimeout(r, 5));
  const slow = Promise.withResolvers<string>();
  w.answer = () => slow.promise;
  const asked = w.ask(2);
  await new Promise((r) => setTimeout(r, 60));
  assert.equal(w.open, 1, "a stream with a question open is not idle");
  slow.resolve("at last");
  assert.equal(await asked, "at last");
  await w.members[Symbol.asyncDispose]();
});

test("who waits for a node that is lost is told, and it may be asked again", async () => {
  const w = new World();
  w.answer = () => new Promise(() => undefined);
  const asked = assert.rejects(w.ask(2), link);
  await new Promise(setImmediate);
  w.members.lost(2);
  await asked;
  w.answer = () => Promise.resolve("fine");
  assert.equal(await w.ask(2), "fine");
  await w.members[Symbol.asyncDispose]();
});

test("membership follows the list: who left is let go, who moved is dialled anew", async () => {
  const w = new World();
  await Promise.all([w.ask(2), w.ask(3)]);
  w.members.set([peer(2, 5000), peer(3)]);
  await Promise.all([w.ask(2), w.ask(3)]);
  assert.deepEqual(w.dialled, ["2:4660", "3:4660", "2:5000"]);
  assert.equal(w.open, 2);
  w.members.set([peer(3)]);
  assert.throws(() => w.members.control(2), /no node 2/);
  assert.deepEqual(w.watcher.peers, [3]);
  await w.members[Symbol.asyncDispose]();
  await new Promise(setImmediate);
  assert.equal(w.open, 0);
});
