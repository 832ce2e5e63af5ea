/** Families that fork, wait for each other and become other programs while any of them is moved at any moment. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { toTeselaError } from "../base/mod.ts";
import { asUnmoved, moved } from "./test-moves.ts";
import { SEED, seeded, TestNodes, TestProgram, tree } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";

/** Processes that are not on the node where their home believes them to be: it would move them to where they are. */
function misplaced(n: TestNodes): string[] {
  const away = n.home.tracks.all().filter((t) => !t.busy && t.process?.phase === "away");
  const wrong = away.filter((t) => t.process?.host?.node !== t.node);
  return wrong.map((t) => `process ${t.pid} is on node ${t.process?.host?.node}, not ${t.node}`);
}

/** Time to be moved away before the first round. */
const PAUSE_MS = 500;
const MOST_PAUSE_MS = 8000;
const LEAST_MOVES = 10;

/** Why one of them may stay. */
const REASONS = ["vfork", "clone_vm", "stopped"];

/** @returns the moves made of one that is there for so long before it begins */
async function compare(pauseMs: number): Promise<number> {
  await using n = await TestNodes.start(3);
  const random = seeded();
  const rounds = 4;
  const { said, moves } = await asUnmoved(n, program("family"), [String(rounds), "7", String(pauseMs)], async ({ pid }) => {
    let made = (await moved(n, pid, 2, REASONS)) === null ? 1 : 0;
    while (tree(pid).length > 0) {
      const all = tree(pid);
      const one = all[random.int(all.length)] ?? pid;
      // At home it would be done before it is moved again.
      const error = await moved(n, one, random.int(8) === 0 ? 1 : 2 + random.int(2), REASONS);
      if (error === null) made++;
      if (error === "E_NOENT_PID" && one === pid) break;
      assert.deepEqual(misplaced(n), [], `seed ${SEED}`);
      await sleep(random.float() * 10);
    }
    return made;
  });
  assert.match(said, /done\nstatus 0\n$/);
  return moves;
}

test("a family moved at random does what it does unmoved", { skip, timeout: 180_000 }, async () => {
  // Where moves take long, or have taken it home early, it is over before it has been moved often enough to tell.
  for (let pause = PAUSE_MS; ; pause *= 2) {
    const moves = await compare(pause);
    if (moves >= LEAST_MOVES) return;
    assert.ok(pause < MOST_PAUSE_MS, `${moves} moves`);
  }
});

test("a child is where its parent has just arrived", { skip, timeout: 120_000 }, async () => {
  await using n = await TestNodes.start(2);
  const random = seeded();
  // With its many areas home takes a while to give its memory back, when it runs away from home already.
  using births = await TestProgram.start(n.tracees, program("births"), "1000", "200");
  let children = 0;
  for (let to: number | "home" = 2; ; to = to === 2 ? "home" : 2) {
    try {
      await n.home.migrate(births.pid, to);
    } catch (e) {
      assert.match(toTeselaError(e).code, /^E_(GONE|NOENT_PID)$/, `seed ${SEED} ${n.logged.slice(-3500)}`);
      break;
    }
    assert.deepEqual(misplaced(n), [], `seed ${SEED}`);
    await sleep(random.float() * 10);
    children += n.home.tracks.all().filter((t) => t.process !== null && t.pid !== births.pid).length;
  }
  assert.ok(children > 0);
  assert.match(await births.end(), /done\nstatus 0\n$/, `seed ${SEED}`);
});
