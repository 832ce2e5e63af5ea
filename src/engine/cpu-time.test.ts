/** What a process learns of its CPU time away from home: what it has used at home, on all nodes before, and here. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { SEED, seeded, TestNodes, TestProgram } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const MOVES = 20;
const MOST_PAUSE_MS = 40;

test("no clock of CPU time goes back while a process is away, whatever node it moves to", { skip, timeout: 120_000 }, async () => {
  await using n = await TestNodes.start(3);
  using used = await TestProgram.start(n.tracees, program("cpu-time"));
  const random = seeded();
  for (let i = 0; i < MOVES; i++) {
    await n.home.migrate(used.pid, 2 + (i % 2));
    await sleep(random.float() * MOST_PAUSE_MS);
  }
  used.signal(15);
  assert.equal(await used.end(), "ready\nback 0\nstatus 0\n", `seed ${SEED}`);
});
