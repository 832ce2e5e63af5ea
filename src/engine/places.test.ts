/** A program that maps memory wherever it likes comes home with it, wherever its deputies are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { toTeselaError } from "../base/mod.ts";
import { SEED, seeded, TestNodes, TestProgram } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const options = { skip, timeout: 120_000 };
const ROUNDS = "4";
/** Why a move of it may not be made: it has ended, or comes home of its own just then. */
const MET: ReadonlySet<string> = new Set(["E_GONE", "E_NOENT_PID", "E_EXISTS", "E_BUSY"]);

const reasons = (n: TestNodes): Set<string> =>
  new Set([...n.logged.matchAll(/"brought home".*?"reason":"([^"]*)"/g)].map((m) => m[1] as string));
const over = (said: string): boolean => /^status/m.test(said);

async function unmoved(n: TestNodes): Promise<string> {
  using p = await TestProgram.start(n.tracees, program("places"), ROUNDS);
  return await p.end();
}

test("memory is mapped anywhere, and comes home", options, async () => {
  await using n = await TestNodes.start(3);
  const random = seeded();
  const want = await unmoved(n);
  using p = await TestProgram.start(n.tracees, program("places"), ROUNDS);
  let moves = 0;
  while (!over(p.stdout)) {
    try {
      const at = n.home.tracks.of(p.pid).node ?? 1;
      const to = [1, 2, 3].filter((node) => node !== at)[random.int(2)] ?? 1;
      await n.home.migrate(p.pid, to === 1 ? "home" : to);
      moves++;
    } catch (e) {
      assert.ok(MET.has(toTeselaError(e).code), `seed ${SEED}: ${toTeselaError(e).message}`);
    }
    await sleep(random.float() * 20);
  }
  assert.equal(await p.end(), want, `seed ${SEED}: ${n.logged.slice(-2000)}`);
  assert.ok(moves > 10, `${moves} moves`);
  assert.deepEqual([...reasons(n)], ["low_address"], "only to map something where its deputies may be");
});

test("what is mapped while it is away comes home when it is told to", options, async () => {
  await using n = await TestNodes.start(2);
  const want = await unmoved(n);
  using p = await TestProgram.start(n.tracees, program("places"), ROUNDS);
  while (!over(p.stdout)) {
    const lines = p.stdout.length;
    try {
      await n.home.migrate(p.pid, 2);
      // It takes its next place there, or comes home to take it.
      while (p.stdout.length === lines) await sleep(1);
      await n.home.migrate(p.pid, "home");
    } catch (e) {
      assert.ok(MET.has(toTeselaError(e).code), toTeselaError(e).message);
      await sleep(1);
    }
  }
  assert.equal(await p.end(), want, n.logged.slice(-2000));
});
