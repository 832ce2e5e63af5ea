import assert from "node:assert/strict";
import { test } from "node:test";
import { maskText, mustKnow, parseMask, parseNodeList } from "./node-mask.ts";

test("a mask allows those that it lists, or all but those", () => {
  const allowed = (text: string): number[] => [1, 2, 3, 4, 7, 65535].filter((n) => parseMask(text).allows(n));
  assert.deepEqual(allowed("2-3,7"), [2, 3, 7]);
  assert.deepEqual(allowed("!2-3,7"), [1, 4, 65535]);
  assert.deepEqual(allowed("1-65535"), [1, 2, 3, 4, 7, 65535]);
  assert.deepEqual(allowed("!1-65535"), []);
  assert.equal(parseMask("!3"), parseMask("!3"), "read once");
  assert.deepEqual([maskText("1-4"), maskText("2"), maskText("!3,5")], ["nodes 1-4", "node 2", "all nodes but 3,5"]);
});

test("what is no list of nodes is refused", () => {
  assert.deepEqual(parseNodeList("1-3,2,7"), [1, 2, 3, 7]);
  for (const bad of ["", "!", "0", "3-1", "1-", "x", "1,,2", "70000", "!!1", "1,".repeat(1000)])
    assert.throws(() => parseMask(bad), RangeError, bad);
});

test("a list has to be of nodes that there are; those that there are not are named", () => {
  const known = [3, 1, 2, 7];
  for (const good of ["1-3,7", "!2", "7"]) mustKnow(good, known);
  const error = (message: string) => ({ code: "E_NONODE", message });
  assert.throws(() => mustKnow("2,9", known), error("there is no node 9 in this cluster: its nodes are 1-3,7"));
  assert.throws(() => mustKnow("!4-9", known), error("there are no nodes 4-6,8-9 in this cluster: its nodes are 1-3,7"));
  assert.throws(() => mustKnow("9,4", known), error("there are no nodes 4,9 in this cluster: its nodes are 1-3,7"));
});

test("a list of any length is looked through once", () => {
  const known = Array.from({ length: 10_000 }, (_, i) => i + 1);
  const long = "1-10000,".repeat(5000).slice(0, -1);
  mustKnow(long, known);
  assert.throws(() => mustKnow(`${long},10001`, known), /there is no node 10001 in this cluster: its nodes are 1-10000$/);
});
