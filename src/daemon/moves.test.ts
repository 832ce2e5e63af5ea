import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { TeselaError } from "../base/mod.ts";
import type { Caller } from "./authorize.ts";
import type { EngineClient, EngineMigrate } from "./engine-client.ts";
import { Members } from "./members.ts";
import { Moves, type Noted } from "./moves.ts";
import type { PeerControl } from "./peer.ts";
import { FakeWatcher, fakePeer } from "./test-members.ts";
import type { EngineRow, Hints, MigrateAsk, Migrated, WhyNot } from "./shapes.ts";

const ROOT: Caller = { uid: 0, gid: 0, via: null };
const STRANGER: Caller = { uid: 54321, gid: 54321, via: null };
const moved: Migrated = { pid: 1, from: 1, to: 2, bytes: 1, freezeMs: 1, totalMs: 1 };
const refusesWith = (code: string, text: RegExp) => (e: unknown) => e instanceof TeselaError && e.code === code && text.test(e.message);

/** A node 1 with an engine that only notes what it is asked, and peers 2 (up) and 3 (down). */
class World implements AsyncDisposable {
  readonly asked: EngineMigrate[] = [];
  readonly relayed: { ask: MigrateAsk; caller: Caller }[] = [];
  readonly noted: Parameters<Noted>[] = [];
  rows: EngineRow[] = [];
  locked = false;
  hints: Hints = {};
  /** What node 2 has told of itself. */
  flags: readonly string[] = [];
  readonly child = spawn("sleep", ["1000"]);
  readonly members: Members;
  readonly moves: Moves;

  constructor() {
    const engine: EngineClient = {
      status: () => Promise.resolve({ node: 1, pid: process.ppid, version: "0", processes: 0, guests: 0, away: 0, rss: 0 }),
      links: () => Promise.resolve([]),
      processes: () => Promise.resolve(this.rows),
      migrate: (what) => {
        this.asked.push(what);
        return Promise.resolve(moved);
      },
      why: (what) => Promise.resolve({ pid: what.pid, reasons: ["sysv_shm"] }),
      run: ({ pid, target }) => Promise.resolve({ pid, target }),
      trace: () => Promise.resolve({ session: "s", lines: [], lost: 0, node: 1, ended: true }),
      accept: () => Promise.resolve(),
    };
    const control: PeerControl = {
      ...fakePeer,
      migrate: (ask, caller) => {
        this.relayed.push({ ask, caller });
        return Promise.resolve(moved);
      },
    };
    const watcher = new FakeWatcher();
    watcher.states.set(2, "up");
    this.members = new Members(1, () => Promise.resolve(control), watcher);
    this.members.set([1, 2, 3].map((id) => ({ id, name: `h${id}`, address: `10.88.0.${id}`, port: 4660 })));
    const said = { isLocked: () => this.locked, hints: () => this.hints };
    this.moves = new Moves(
      { id: 1, name: "h1" },
      this.members,
      engine,
      said,
      (...move) => this.noted.push(move),
      () => this.flags,
    );
  }
  get pid(): string {
    return String(this.child.pid);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await Promise.all([once(this.child, "exit"), this.members[Symbol.asyncDispose]()]);
  }
}

const up = (): World => new World();

test("a node that has said that it takes no guests gets no program, and a refusal names its flag, though gossip has not told yet", async () => {
  await using w = up();
  w.flags = ["block"];
  const isClosed = refusesWith("E_REFUSED", /'block' is set there/);
  await assert.rejects(w.moves.run({ pid: Number(w.pid), target: "2" }, ROOT), isClosed);
  const why = await w.moves.migrate({ pid: w.pid, target: "2", why: true }, ROOT);
  assert.deepEqual("reasons" in why && why.reasons, ["blocked"]);
});

test("a move is handed to the engine once everything is in order", async () => {
  await using w = up();
  assert.equal(await w.moves.migrate({ pid: w.pid, target: "2" }, ROOT), moved);
  await w.moves.migrate({ pid: `1:${w.pid}`, target: "h2" }, ROOT);
  await w.moves.migrate({ pid: w.pid, target: "10.88.0.2" }, { uid: process.getuid?.() ?? 0, gid: 1, via: null });
  assert.deepEqual(
    w.asked.map((a) => [a.pid, a.target]),
    [2, 2, 2].map((t) => [w.child.pid, t]),
  );
  assert.deepEqual(await w.moves.migrate({ pid: w.pid, target: "2", why: true }, ROOT), { pid: w.child.pid, reasons: ["sysv_shm"] });
});

test("what is not in order is refused by name, and the engine never hears of it", async () => {
  await using w = up();
  const refused = (pid: string, target: string, caller: Caller, code: string, text: RegExp): Promise<void> =>
    assert.rejects(w.moves.migrate({ pid, target }, caller), refusesWith(code, text));
  await refused("bc", "2", ROOT, "E_USAGE", /PID 'bc': want a number/);
  await refused("4194303", "2", ROOT, "E_NOENT_PID", /no process 4194303 on this node/);
  await refused(w.pid, "2", STRANGER, "E_PERM", /user 54321 may not move it/);
  await refused(w.pid, "9", ROOT, "E_NONODE", /no node '9'/);
  await refused(w.pid, "3", ROOT, "E_NODE_DOWN", /node 3 \(h3, 10.88.0.3\) is down/);
  await refused(w.pid, "1", ROOT, "E_THERE", /is at home already/);
  await refused(w.pid, "home", ROOT, "E_THERE", /is at home already/);
  for (const pid of [1, process.pid, process.ppid]) await refused(String(pid), "2", ROOT, "E_CANTMOVE", /this node itself stands on/);
  assert.deepEqual(await w.moves.migrate({ pid: "1", target: "2", why: true }, ROOT), { pid: 1, reasons: ["system"] });
  await refused("9:5", "1", ROOT, "E_NONODE", /no node 9/);
  await refused("3:5", "1", ROOT, "E_NODE_DOWN", /node 3/);
  assert.deepEqual(w.asked, []);
});

test("a node that its mask does not have takes force; home does not", async () => {
  await using w = up();
  const pid = w.child.pid ?? 0;
  w.hints = { mask: "!2" };
  await assert.rejects(w.moves.migrate({ pid: w.pid, target: "2" }, ROOT), refusesWith("E_CANTMOVE", /all nodes but 2, not to node 2/));
  const why = (await w.moves.migrate({ pid: w.pid, target: "2", why: true }, ROOT)) as WhyNot;
  assert.deepEqual(why.reasons, ["mask"]);
  await assert.rejects(w.moves.run({ pid, target: "2" }, ROOT), refusesWith("E_CANTMOVE", /not to node 2/));
  await assert.rejects(w.moves.run({ pid, target: "2", hints: { mask: "1,3" } }, ROOT), refusesWith("E_CANTMOVE", /nodes 1,3, not to/));
  await assert.rejects(w.moves.carry({ pid: `1:${pid}`, target: "2", force: true }, ROOT), refusesWith("E_CANTMOVE", /not to node 2/));
  assert.equal(w.asked.length, 0);
  await w.moves.migrate({ pid: w.pid, target: "2", force: true }, ROOT);
  w.hints = { mask: "5" };
  const base = { user: "root", lock: false, cantmove: [], command: "sleep", state: "S", cpu: 0, rss: 0, nmigs: 1 };
  w.rows = [{ ...base, pid, cpid: `1:${pid}`, home: 1, node: 2, role: "home" }];
  await w.moves.migrate({ pid: w.pid, target: "home" }, ROOT);
  assert.deepEqual(
    w.asked.map((a) => a.target),
    [2, "home"],
  );
});

test("what a node decides by itself is not told as a command, and does not move what is locked", async () => {
  await using w = up();
  const cpid = `1:${w.pid}`;
  const from2: Caller = { ...ROOT, via: 2 };
  await w.moves.carry({ pid: cpid, target: "2" }, from2);
  assert.deepEqual([w.asked.length, w.noted.length], [1, 0]);
  w.locked = true;
  await assert.rejects(w.moves.carry({ pid: cpid, target: "2" }, from2), refusesWith("E_CANTMOVE", /only when told to/));
  await assert.rejects(w.moves.carry({ pid: "2:7", target: "2" }, from2), refusesWith("E_PROTOCOL", /not of this node/));
  await w.moves.migrate({ pid: cpid, target: "2" }, from2);
  assert.deepEqual(w.noted, [[w.child.pid, 1, 2, "moves to node 2: told to by user 0 of node 2"]]);
});

test("one that is away goes home or on, not to where it is", async () => {
  await using w = up();
  const pid = w.child.pid ?? 0;
  const base = { user: "root", lock: false, cantmove: [], command: "sleep", state: "S", cpu: 0, rss: 0, nmigs: 1 };
  w.rows = [
    { ...base, pid, cpid: `5:${pid}`, home: 5, node: 1, role: "guest" },
    { ...base, pid, cpid: `1:${pid}`, home: 1, node: 2, role: "home" },
  ];
  await assert.rejects(w.moves.migrate({ pid: w.pid, target: "2" }, ROOT), refusesWith("E_THERE", /is on node 2 already/));
  await w.moves.migrate({ pid: w.pid, target: "h1" }, ROOT);
  assert.equal(w.asked[0]?.target, "home");
});

test("a process of another home is that node's to decide, and only root is trusted across nodes", async () => {
  await using w = up();
  await w.moves.migrate({ pid: "2:77", target: "1" }, STRANGER);
  assert.deepEqual(w.relayed, [{ ask: { pid: "2:77", target: "1" }, caller: STRANGER }]);
  const via = { uid: process.getuid?.() ?? 0, gid: 0, via: 2 };
  await w.moves.migrate({ pid: `1:${w.pid}`, target: "2" }, { ...via, uid: 0 });
  await assert.rejects(
    w.moves.migrate({ pid: w.pid, target: "2" }, { ...via, uid: 1000 }),
    refusesWith("E_PERM", /only root may move it from here/),
  );
  await assert.rejects(w.moves.migrate({ pid: "3:1", target: "2" }, { ...via, uid: 0 }), refusesWith("E_PROTOCOL", /not of this node/));
});

test("run: at home nothing is asked of the engine, elsewhere it is", async () => {
  await using w = up();
  const pid = w.child.pid ?? 0;
  assert.deepEqual(await w.moves.run({ pid, target: null }, ROOT), { pid, target: null });
  assert.deepEqual(await w.moves.run({ pid, target: "h1" }, ROOT), { pid, target: null });
  assert.deepEqual(await w.moves.run({ pid, target: "2" }, ROOT), { pid, target: 2 });
  await assert.rejects(w.moves.run({ pid, target: "3" }, ROOT), refusesWith("E_NODE_DOWN", /node 3/));
  await assert.rejects(w.moves.run({ pid, target: "2" }, STRANGER), refusesWith("E_PERM", /may not/));
});
