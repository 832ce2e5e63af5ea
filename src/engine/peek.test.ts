/** Processes that work on each other's memory while both are moved: what they find is what is there, wherever that is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { toTeselaError } from "../base/mod.ts";
import { SEED, seeded, TestNodes, TestProgram, tree } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const EXPECTED: ReadonlySet<string> = new Set(["E_GONE", "E_NOENT_PID", "E_EXISTS", "E_BUSY"]);

for (const shared of [0, 1]) {
  test(`memory of others that ${shared ? "share some" : "share none"}`, { skip, timeout: 120_000 }, async () => {
    await using n = await TestNodes.start(3);
    const random = seeded();
    using peek = await TestProgram.start(n.tracees, program("peek"), "2000", String(shared));
    // Who reads at home what is away is told that it is not there. These are moved while the reader is away.
    await n.home.migrate(peek.pid, 2);
    let moves = 0;
    while (tree(peek.pid).length > 0) {
      const all = tree(peek.pid);
      try {
        await n.home.migrate(all[random.int(all.length)] ?? peek.pid, 2 + random.int(2));
        moves++;
      } catch (e) {
        const error = toTeselaError(e);
        if (!EXPECTED.has(error.code)) assert.fail(`seed ${SEED}: ${error.message}`);
        if (!["E_BUSY", "E_EXISTS"].includes(error.code) && tree(peek.pid).length <= 1) break;
      }
      await sleep(random.float() * 30);
    }
    assert.equal(await peek.end(), "ready\ndone\nstatus 0\n", `seed ${SEED}, ${moves} moves\n${n.logged.slice(-4000)}`);
    assert.ok(moves > 0, `${moves} moves`);
  });
}

test("its own memory by the number of another of its threads", { skip, timeout: 120_000 }, async () => {
  await using n = await TestNodes.start(2);
  using peek = await TestProgram.start(n.tracees, program("peek-self"), "40");
  let moves = 0;
  while (tree(peek.pid).length > 0) {
    try {
      await n.home.migrate(peek.pid, 2);
      moves++;
    } catch (e) {
      const error = toTeselaError(e);
      if (!EXPECTED.has(error.code)) assert.fail(error.message);
      if (!["E_BUSY", "E_EXISTS"].includes(error.code)) break;
    }
    await sleep(10);
  }
  assert.equal(await peek.end(), "ready\ndone\nstatus 0\n", n.logged.slice(-2000));
  assert.ok(moves > 1, `${moves} moves`);
});
