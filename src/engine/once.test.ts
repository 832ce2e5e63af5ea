/** Two processes that count what they do to each other, both moved at any moment: everything comes once, and in order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { asUnmoved, moved } from "./test-moves.ts";
import { SEED, seeded, TestNodes, type TestProgram, tree } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";

/** Moves one of a program's processes after the other until it ends. @returns how often */
async function moveAllAbout(n: TestNodes, p: TestProgram, pauseMs: number): Promise<number> {
  const random = seeded();
  let count = 0;
  while (!/^status/m.test(p.stdout)) {
    const all = tree(p.pid);
    if ((await moved(n, all[random.int(all.length)] ?? p.pid, 1 + random.int(3), [])) === null) count++;
    await sleep(random.float() * pauseMs);
  }
  return count;
}

test("what processes do to each other is done once", { skip, timeout: 120_000 }, async () => {
  await using n = await TestNodes.start(3);
  const { moves } = await asUnmoved(n, program("once"), ["1"], (p) => moveAllAbout(n, p, 20));
  assert.ok(moves > 1, `${moves} moves, seed ${SEED}`);
});

for (const how of ["process", "thread", "handler", "descriptor"])
  test(`of signals that are all alike none is lost: ${how}`, { skip, timeout: 120_000 }, async () => {
    await using n = await TestNodes.start(3);
    const { moves } = await asUnmoved(n, program("alike"), [how, "600"], (p) => moveAllAbout(n, p, 50));
    assert.ok(moves > 1, `${moves} moves, seed ${SEED}`);
  });
