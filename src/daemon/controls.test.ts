import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { TeselaError } from "../base/mod.ts";
import type { Caller } from "./authorize.ts";
import { Controls } from "./controls.ts";
import type { EngineClient } from "./engine-client.ts";
import { Members } from "./members.ts";
import { Policies } from "./policies.ts";
import type { EngineRow, MigrateAsk, Migrated } from "./shapes.ts";
import { FakeWatcher, fakePeer } from "./test-members.ts";
import { aRow } from "./test-rows.ts";

const ROOT: Caller = { uid: 0, gid: 0, via: null };
const nothing = (): Promise<never> => Promise.reject(new TeselaError("E_NOENGINE", "not in this test"));

/** Node 1 with an engine that has no processes, and its policies in a file; node 2 notes what it is asked. */
class World implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), "tesela-"));
  readonly asked: unknown[] = [];
  readonly underWay = new Set<string>();
  answer: unknown = undefined;
  engineRuns = true;
  /** What its engine says of processes, look by look; none after that. */
  looks: EngineRow[][] = [];
  /** What node 2 says to a move of one of its processes. */
  moves: (pid: string) => Promise<never> | Promise<Migrated> = nothing;
  policies = this.fresh();
  readonly members: Members;
  readonly controls: Controls;

  constructor() {
    const engine: EngineClient = {
      ...{ status: nothing, links: nothing, migrate: nothing, why: nothing, run: nothing, trace: nothing },
      processes: () => Promise.resolve(this.looks.shift() ?? []),
      accept: () => (this.engineRuns ? Promise.resolve() : nothing()),
    };
    const question = (what: string, body: unknown): Promise<unknown> => {
      this.asked.push(what, body);
      return Promise.resolve(this.answer ?? {});
    };
    const watcher = new FakeWatcher();
    watcher.states.set(2, "up");
    const migrate = ({ pid }: MigrateAsk): Promise<Migrated> => this.moves(pid);
    this.members = new Members(1, () => Promise.resolve({ ...fakePeer, question, migrate }), watcher);
    this.members.set([1, 2].map((id) => ({ id, name: `h${id}`, address: `10.88.0.${id}`, port: 4660 })));
    const { policies, members } = this;
    this.controls = new Controls({
      underWay: this.underWay,
      self: 1,
      policies,
      engine,
      members,
      leaving: () => false,
      speed: () => 12_345,
      changed: () => Promise.resolve(),
    });
  }
  fresh(): Policies {
    return new Policies(join(this.dir, "policies.json"), () => true);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.members[Symbol.asyncDispose]();
    rmSync(this.dir, { recursive: true });
  }
}

test("what expel and bring set is taken back by their opposites", async () => {
  await using w = new World();
  await w.controls.tell({ verb: "expel" }, ROOT);
  const both = await w.controls.tell({ verb: "bring" }, ROOT);
  assert.deepEqual(both.flags, ["lstay", "block"]);
  assert.deepEqual((await w.controls.tell({ verb: "noexpel" }, ROOT)).flags, ["lstay"]);
  assert.deepEqual((await w.controls.tell({ verb: "nobring" }, ROOT)).flags, []);
});

test("a guest that has come a moment before its node expels them leaves too: its home says first that it is there", async () => {
  await using w = new World();
  const guest = aRow({ pid: 77, cpid: "2:77", home: 2, node: 1, role: "guest" });
  const asked: string[] = [];
  w.looks = [[guest], [guest]];
  w.moves = async (pid) => {
    asked.push(pid);
    if (asked.length === 1) throw new TeselaError("E_THERE", "process 77 is at home already");
    return { pid: 77, from: 1, to: 2, bytes: 1, freezeMs: 1, totalMs: 1 };
  };
  const { moved, failed } = await w.controls.tell({ verb: "expel" }, ROOT);
  assert.deepEqual([asked, moved, failed], [["2:77", "2:77"], ["2:77"], []]);
});

test("flags hold also while no engine runs: one that starts is told", async () => {
  await using w = new World();
  w.engineRuns = false;
  assert.deepEqual((await w.controls.tell({ verb: "block" }, ROOT)).flags, ["block"]);
  assert.equal(w.fresh().has("block"), true);
});

test("yard and decay are kept over a restart; the yard may be the node's own speed", async () => {
  await using w = new World();
  assert.deepEqual([w.policies.yard, w.policies.decay], [10_000, { seconds: 15, slow: 975, fast: 926 }]);
  await w.controls.tell({ verb: "setyard", value: 20_000 }, ROOT);
  await w.controls.tell({ verb: "setdecay", values: [5, 800, 600] }, ROOT);
  const again = w.fresh();
  assert.deepEqual([again.yard, again.decay, again.speed], [20_000, { seconds: 5, slow: 800, fast: 600 }, null]);
  await w.controls.tell({ verb: "setyard" }, ROOT);
  assert.equal(w.fresh().yard, 12_345);
});

test("only root tells a node, only what makes sense; another one is told by its own", async () => {
  await using w = new World();
  const refused = (ask: Parameters<Controls["tell"]>[0], code: string, caller = ROOT): Promise<void> =>
    assert.rejects(w.controls.tell(ask, caller), (e) => e instanceof TeselaError && e.code === code);
  await refused({ verb: "setyard", value: 0 }, "E_USAGE");
  await refused({ verb: "setspeed" }, "E_USAGE");
  for (const values of [[], [0, 1, 1], [1, 2], [1, 2, 1001], [1, 2, 3, 4], [1.5, 2, 3]])
    await refused({ verb: "setdecay", values }, "E_USAGE");
  await refused({ verb: "dance" }, "E_USAGE");
  await refused({ verb: "setyard", value: 1 }, "E_PERM", { uid: 1000, gid: 1000, via: null });
  await refused({ verb: "block", node: "9" }, "E_NONODE");
  await w.controls.tell({ verb: "setdecay", values: [1, 3, 2], node: "h2" }, ROOT);
  assert.deepEqual(w.asked, ["POST /ctl", { verb: "setdecay", values: [1, 3, 2], node: undefined }]);
});

test("a node that was told is known to be as it answered, until it is heard of again", async () => {
  await using w = new World();
  const status = { cpus: 1, speed: 1, load: 0, memTotal: 1, memFree: 1, guests: 0, away: 0, flags: ["noengine", "stay"] };
  const peer = { id: 2, name: "h2", address: "10.88.0.2", port: 4660 };
  const flags = (heard: number | null) => w.controls.known({ peer, status, heard })?.flags;
  assert.deepEqual(flags(performance.now()), ["noengine", "stay"]);
  w.answer = { flags: ["block"] };
  const before = performance.now();
  await w.controls.tell({ verb: "block", node: "2" }, ROOT);
  assert.deepEqual(
    [flags(before), flags(null)],
    [
      ["block", "noengine"],
      ["block", "noengine"],
    ],
  );
  assert.deepEqual(flags(performance.now() + 1), ["noengine", "stay"]);
  assert.equal(w.controls.known({ peer, status: null, heard: null }), null);
});
