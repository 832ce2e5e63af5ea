/** Two processes that count what they do to each other, both moved at any moment: everything comes once, and in order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ProgramName, program } from "../../test/programs/build.ts";
import { asUnmoved, movedAbout } from "./test-moves.ts";
import { SEED, TestNodes } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";

/** Where moves take long the program is over before it has been moved at all: then it does more. */
const MOST_DOUBLED = 4;

async function compare(name: ProgramName, args: (times: number) => readonly string[], pauseMs: number): Promise<void> {
  for (let doubled = 0; ; doubled++) {
    await using n = await TestNodes.start(3);
    const { moves } = await asUnmoved(n, program(name), args(1 << doubled), (p) =>
      movedAbout(n, p, { pauseMs, who: (all, any) => all[any(all.length)] }),
    );
    if (moves > 1) return;
    assert.ok(doubled < MOST_DOUBLED, `${moves} moves, seed ${SEED}`);
  }
}

test("what processes do to each other is done once", { skip, timeout: 120_000 }, async () => {
  await compare("once", (times) => [String(times)], 20);
});

for (const how of ["process", "thread", "handler", "descriptor"])
  test(`of signals that are all alike none is lost: ${how}`, { skip, timeout: 120_000 }, async () => {
    await compare("alike", (times) => [how, String(600 * times)], 50);
  });
