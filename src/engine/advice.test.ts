/** What a program has said of its memory holds for its children wherever they are born. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { program } from "../../test/programs/build.ts";
import { TestNodes, TestProgram } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const PAUSE_MS = 600;

/** Nodes where it is at the first pause, and at the second. */
const WAYS: readonly (readonly (readonly (number | "home")[])[])[] = [
  [[2], [3]],
  [[2, "home"], [2]],
  [[2, 3], ["home"]],
  [[2, 3, "home"], []],
];

test("advice on memory goes with it", { skip, timeout: 120_000 }, async () => {
  await using n = await TestNodes.start(3);
  using plain = await TestProgram.start(n.tracees, program("advice"), String(PAUSE_MS));
  const want = await plain.end();
  assert.match(want, /^first 70-7.\nready\nthen 70-7.\nchanged 077-.\nlast 077-.\nstatus 0\n$/);
  for (const [first = [], second = []] of WAYS) {
    using moved = await TestProgram.start(n.tracees, program("advice"), String(PAUSE_MS));
    for (const to of first) await n.home.migrate(moved.pid, to);
    await moved.says("changed");
    for (const to of second) await n.home.migrate(moved.pid, to);
    assert.equal(await moved.end(), want, `${first} ${second}`);
  }
});
