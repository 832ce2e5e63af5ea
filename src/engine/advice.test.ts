/** What a program has said of its memory holds for its children wherever they are born. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { program } from "../../test/programs/build.ts";
import { toTeselaError } from "../base/mod.ts";
import { TestNodes, TestProgram } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const PAUSE_MS = 600;
const MOST_PAUSE_MS = 20_000;

/** What a move is told of a process that has ended. */
const OVER: ReadonlySet<string> = new Set(["E_GONE", "E_NOENT_PID"]);

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
  /** False: it was over before it had been moved everywhere. */
  const along = async ([first = [], second = []]: (typeof WAYS)[number], pauseMs: number): Promise<boolean> => {
    using moved = await TestProgram.start(n.tracees, program("advice"), String(pauseMs));
    let everywhere = false;
    try {
      for (const to of first) await n.home.migrate(moved.pid, to);
      await moved.says("changed");
      for (const to of second) await n.home.migrate(moved.pid, to);
      everywhere = true;
    } catch (e) {
      if (!OVER.has(toTeselaError(e).code)) throw e;
    }
    assert.equal(await moved.end(), want, `${first} ${second}`);
    return everywhere;
  };
  for (const way of WAYS) {
    for (let ms = PAUSE_MS; !(await along(way, ms)); ms *= 2) assert.ok(ms < MOST_PAUSE_MS, "moves take too long");
  }
});
