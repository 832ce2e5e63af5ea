/** Reads that end when all is there: neither moves nor signals without a handler cut them short. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { program } from "../../test/programs/build.ts";
import { asUnmoved, movedAbout } from "./test-moves.ts";
import { SEED, TestNodes } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const ROUNDS = "3";

test("what is to be filled is full, whatever moves meet that", { skip, timeout: 120_000 }, async () => {
  await using n = await TestNodes.start(3);
  const { moves } = await asUnmoved(n, program("fills"), [ROUNDS], (p) => movedAbout(n, p, { pauseMs: 20, nodes: [2, 3] }));
  assert.ok(moves > 1, `${moves} moves, seed ${SEED}`);
});
