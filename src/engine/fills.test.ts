/** Reads that end when all is there: neither moves nor signals without a handler cut them short. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { asUnmoved, moved } from "./test-moves.ts";
import { SEED, seeded, TestNodes } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const ROUNDS = "3";

test("what is to be filled is full, whatever moves meet that", { skip, timeout: 120_000 }, async () => {
  await using n = await TestNodes.start(3);
  const random = seeded();
  const { moves } = await asUnmoved(n, program("fills"), [ROUNDS], async (p) => {
    let count = 0;
    while (!/^status/m.test(p.stdout)) {
      if ((await moved(n, p.pid, 2 + random.int(2), [])) === null) count++;
      await sleep(random.float() * 20);
    }
    return count;
  });
  assert.ok(moves > 1, `${moves} moves, seed ${SEED}`);
});
