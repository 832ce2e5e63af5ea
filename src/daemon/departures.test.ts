import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Log, nodePaths, TeselaError } from "../base/mod.ts";
import { createCluster, makeGossipKey, saveCa, saveGossipKey, writeMembership } from "../cluster/mod.ts";
import { departures } from "./departures.ts";
import { Emptying } from "./emptying.ts";
import type { Member } from "./members.ts";
import { Roster } from "./roster.ts";
import type { Controlled, ProcessRow } from "./shapes.ts";
import { fakePeer, someStatus } from "./test-members.ts";

const ROOT = { uid: 0, gid: 0, via: null };
const quiet = new Log({ fd: -1 });
const ca = await createCluster("lab");
const rows = [1, 2].map((id) => ({ id, name: `h${id}`, address: `10.0.0.${id}`, port: 4660 }));
const away = (home: number, node: number): ProcessRow => ({
  ...{ pid: 7, cpid: `${home}:7`, home, node, nmigs: 1, state: "R", cpu: 1, rss: 1, user: "u", lock: false, cantmove: [], command: "x" },
});

/** Node 1, which holds the CA's key, and node 2, which does as it is told or does not. */
class Setting implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), "tesela-"));
  readonly told: string[] = [];
  readonly roster: Roster;
  readonly routes: ReturnType<typeof departures>;
  processes: ProcessRow[] = [];
  obedient = true;
  flags: string[] = [];
  departed = 0;

  constructor() {
    const paths = nodePaths({ TESELA_RUN: join(this.dir, "run"), TESELA_STATE: this.dir });
    const config = { ...(rows[0] as (typeof rows)[0]), cluster: "lab" };
    saveCa(paths.identity, ca);
    saveGossipKey(paths.identity, makeGossipKey());
    writeMembership(paths, config, rows);
    this.roster = new Roster(paths, "lab", ca.cert, quiet);
    const does = (who: number, verb: string): Controlled => {
      this.told.push(`${who} ${verb}`);
      if (this.obedient && !verb.startsWith("no")) this.processes = [];
      return { node: who, flags: [], level: true, moved: [], failed: [] };
    };
    const emptying = new Emptying({
      ...{ self: 1, flags: () => this.flags, log: quiet },
      controls: { tell: async ({ verb }) => does(1, verb) },
      members: {
        list: () => [{ peer: rows[1], state: "up", status: { ...someStatus, flags: this.flags }, heard: 0, since: 0 } as Member],
        control: () => ({ ...fakePeer, question: async (_: string, body: unknown) => does(2, (body as { verb: string }).verb) }),
      },
    });
    const belonging = {
      depart: async () => {
        this.departed++;
      },
      reach: async () => undefined,
    };
    this.routes = departures({ paths, config, roster: this.roster, belonging, emptying, ps: async () => this.processes });
  }
  call(route: string, body: unknown, caller = ROOT): Promise<unknown> {
    const handler = this.routes[route];
    assert.ok(handler);
    return handler(body, caller);
  }
  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true });
  }
}
const fails = (code: string) => (e: unknown) => e instanceof TeselaError && e.code === code;
const standing = (s: Setting): string => s.roster.record.get(2)?.standing ?? "none";

test("processes are sent home before a node is removed, and it is not while some stay", async () => {
  using s = new Setting();
  s.processes = [away(1, 2), away(2, 1)];
  s.obedient = false;
  s.flags = ["block"];
  await assert.rejects(s.call("POST /remove", { node: "2" }), fails("E_BUSY"));
  assert.deepEqual([s.told, standing(s)], [["2 expel", "2 bring", "2 nolstay"], "none"], "it is as it was");
  s.told.length = 0;
  s.obedient = true;
  await s.call("POST /remove", { node: "2" });
  assert.deepEqual([s.told, standing(s)], [["2 expel", "2 bring"], "removed"]);
});

test("by force a node is out at once; one without processes is told nothing, too", async () => {
  for (const processes of [[away(1, 2)], [away(1, 1), away(2, 2)]]) {
    using s = new Setting();
    s.processes = processes;
    await s.call("POST /remove", { node: "h2", force: processes.length === 1 });
    assert.deepEqual([s.told, standing(s)], [[], "removed"]);
  }
});

test("who leaves has its own brought home; the last holder of the CA's key stays unless forced", async () => {
  using s = new Setting();
  s.processes = [away(1, 2)];
  await assert.rejects(s.call("POST /leave", {}), fails("E_REFUSED"));
  assert.deepEqual(s.told, []);
  rmSync(join(s.dir, "identity", "ca.key"));
  await s.call("POST /leave", {});
  assert.deepEqual([s.told, s.departed], [["1 expel", "1 bring"], 1]);
  await assert.rejects(s.call("POST /remove", { node: "2" }), fails("E_MISSING"));
  await assert.rejects(s.call("POST /leave", {}, { ...ROOT, uid: 1000 }), fails("E_PERM"));
});
