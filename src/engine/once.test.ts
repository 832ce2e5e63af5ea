/** Two processes that count what they do to each other, both moved at any moment: everything comes once, and in order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { asUnmoved, moved } from "./test-moves.ts";
import { SEED, seeded, TestNodes, tree } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";

test("what processes do to each other is done once", { skip, timeout: 120_000 }, async () => {
  await using n = await TestNodes.start(3);
  const random = seeded();
  const { moves } = await asUnmoved(n, program("once"), ["1"], async (p) => {
    let count = 0;
    while (!/^status/m.test(p.stdout)) {
      const all = tree(p.pid);
      if ((await moved(n, all[random.int(all.length)] ?? p.pid, 1 + random.int(3), [])) === null) count++;
      await sleep(random.float() * 20);
    }
    return count;
  });
  assert.ok(moves > 1, `${moves} moves, seed ${SEED}`);
});
