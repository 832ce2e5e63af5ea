/** A process that becomes one program after the other is moved meanwhile. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { toTeselaError } from "../base/mod.ts";
import { SEED, seeded, TestNodes, TestProgram } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const TIMES = "80";
/** It was another program by then, or has ended. */
const MET: ReadonlySet<string> = new Set(["E_GONE", "E_NOENT_PID", "E_EXISTS", "E_BUSY"]);
const over = (said: string): boolean => /^status/m.test(said);

test("what a process becomes begins where it was, whatever move meets that", { skip, timeout: 120_000 }, async () => {
  await using n = await TestNodes.start(3);
  const random = seeded();
  const unmoved = await (async () => {
    using p = await TestProgram.start(n.tracees, program("again"), TIMES);
    return await p.end();
  })();
  using p = await TestProgram.start(n.tracees, program("again"), TIMES);
  let left = false;
  while (!over(p.stdout)) {
    try {
      const at = n.home.tracks.of(p.pid).node;
      if (at === null && left) continue;
      await n.home.migrate(p.pid, at === 2 ? 3 : 2);
      left = true;
    } catch (e) {
      assert.ok(MET.has(toTeselaError(e).code), `seed ${SEED}: ${toTeselaError(e).message}`);
    } finally {
      await sleep(random.float() * 15);
    }
  }
  assert.equal(await p.end(), unmoved, `seed ${SEED}: ${n.logged.slice(-2000)}`);
  assert.doesNotMatch(n.logged, /starts at home instead|brought home/, `seed ${SEED}`);
});
