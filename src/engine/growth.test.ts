/** Memory that grows wherever its process is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { program } from "../../test/programs/build.ts";
import { asUnmoved, movedAbout } from "./test-moves.ts";
import { SEED, TestNodes } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";

for (const what of ["deep", "grow"] as const)
  test(`memory grows wherever its process is: ${what}`, { skip, timeout: 120_000 }, async () => {
    await using n = await TestNodes.start(3);
    const { moves } = await asUnmoved(n, program(what), ["5"], (p) => movedAbout(n, p, { pauseMs: 50, who: (all) => all.at(-1) }));
    assert.ok(moves > 1, `${moves} moves, seed ${SEED}`);
  });
