/** Memory that grows wherever its process is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { asUnmoved, moved } from "./test-moves.ts";
import { SEED, seeded, TestNodes, tree } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";

for (const what of ["deep", "grow"] as const)
  test(`memory grows wherever its process is: ${what}`, { skip, timeout: 120_000 }, async () => {
    await using n = await TestNodes.start(3);
    const random = seeded();
    const { moves } = await asUnmoved(n, program(what), ["5"], async (p) => {
      let count = 0;
      while (!/^status/m.test(p.stdout)) {
        const child = tree(p.pid).at(-1) ?? p.pid;
        if ((await moved(n, child, 1 + random.int(3), [])) === null) count++;
        await sleep(random.float() * 50);
      }
      return count;
    });
    assert.ok(moves > 1, `${moves} moves, seed ${SEED}`);
  });
