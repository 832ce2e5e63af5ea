import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { lockCluster } from "./lock.ts";
import { clusterDir, clusterNames, clustersDir, getState, identify, isAlive, readState } from "./state.ts";

let dir = "";
before(() => {
  dir = mkdtempSync(join(tmpdir(), "tesela-state-"));
  process.env["TESELA_CLUSTERS"] = dir;
});
after(() => {
  delete process.env["TESELA_CLUSTERS"];
  rmSync(dir, { recursive: true });
});

test("names and places", () => {
  assert.equal(clusterDir("a-1"), join(dir, "a-1"));
  for (const bad of ["", "..", "a/b", "A", "1", "-a", "a-", "x".repeat(33)]) assert.throws(() => clusterDir(bad), { code: "E_USAGE" }, bad);
  assert.throws(() => clustersDir({ TESELA_CLUSTERS: "here" }), { code: "E_CONFIG" });
  assert.throws(() => clustersDir({ TESELA_CLUSTERS: "/a b" }), { code: "E_CONFIG" });
  assert.equal(clustersDir({ TESELA_CLUSTERS: "/a/" }), "/a");
});

test("a state that is not there or cannot be read is none", () => {
  assert.equal(readState("none"), null);
  assert.throws(() => getState("none"), { code: "E_NONODE" });
  mkdirSync(join(dir, "half"));
  writeFileSync(join(dir, "half", "state.json"), '{"version":');
  assert.equal(readState("half"), null);
  assert.deepEqual(clusterNames(), ["half"]);
});

test("a process is told from a later one with its PID", async () => {
  const me = identify(process.pid);
  assert.ok(me !== null && isAlive(me));
  assert.equal(isAlive({ ...me, start: me.start + 1 }), false);
  const child = spawn("sleep", ["1000"]);
  const id = identify(child.pid ?? 0);
  assert.equal(isAlive(id), true);
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.equal(isAlive(id), false);
});

test("a lock is held by one, given back, and taken over from the dead", async () => {
  const order: string[] = [];
  const first = await lockCluster("x");
  const waiting = lockCluster("x").then((lock) => {
    order.push("second");
    lock[Symbol.dispose]();
  });
  await new Promise((resolve) => setTimeout(resolve, 150));
  order.push("first");
  first[Symbol.dispose]();
  await waiting;
  assert.deepEqual(order, ["first", "second"]);
  writeFileSync(join(dir, ".x.lock"), JSON.stringify({ pid: process.pid, start: 1 }));
  (await lockCluster("x"))[Symbol.dispose]();
  assert.deepEqual(
    readdirSync(dir).filter((entry) => entry.startsWith(".x")),
    [],
  );
});
