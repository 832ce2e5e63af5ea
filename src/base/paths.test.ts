import assert from "node:assert/strict";
import { test } from "node:test";
import { nodePaths } from "./paths.ts";

test("the system's places unless told otherwise", () => {
  const p = nodePaths({});
  assert.equal(p.teseladSocket, "/run/tesela/teselad.sock");
  assert.equal(p.identity, "/var/lib/tesela/identity");
  assert.equal(p.log, "/var/log/tesela");
  const q = nodePaths({ TESELA_RUN: "/tmp/a/", TESELA_STATE: "/tmp/b", TESELA_LOG: "" });
  assert.equal(q.engineSocket, "/tmp/a/engine.sock");
  assert.equal(q.nodeJson, "/tmp/b/node.json");
  assert.equal(q.log, "/var/log/tesela");
});

test("a place that cannot work is refused by name", () => {
  assert.throws(() => nodePaths({ TESELA_RUN: "here" }), /TESELA_RUN is 'here': want an absolute path/);
  assert.throws(() => nodePaths({ TESELA_RUN: `/${"x".repeat(120)}` }), /a socket's path has at most 107/);
});
