/** A program that looks names up over and over sees what others do in their order, though most answers were given before it asked. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { toTeselaError } from "../base/mod.ts";
import { SEED, seeded, TestNodes, TestProgram } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const options = { skip, timeout: 240_000 };
const SIGUSR1 = 10;
const TIMES = "1000";
const MOST_RUNS = 4;
const MET: ReadonlySet<string> = new Set(["E_GONE", "E_NOENT_PID", "E_EXISTS", "E_BUSY", "E_CANTMOVE"]);
const over = (said: string): boolean => /^status/m.test(said);

/** Calls of all guests that were answered where they run. */
const used = (n: TestNodes): number =>
  n.nodes.flatMap(({ hosting }) => [...hosting.all()].flatMap((p) => [...p.threads.values()])).reduce((sum, g) => sum + g.ahead.used, 0);

for (const who of ["process", "signals", "thread", "child"]) {
  test(`what a ${who} has made is there for a guest that has heard of it`, options, async () => {
    await using n = await TestNodes.start(2);
    let most = 0;
    // On a busy machine the names may all be there before any was looked for twice.
    for (let run = 0; run < MOST_RUNS && most === 0; run++) {
      using p = await TestProgram.start(n.tracees, program("lookups"), who, TIMES, String(SEED + run));
      await n.home.migrate(p.pid, 2);
      p.signal(SIGUSR1);
      while (!over(p.stdout)) {
        most = Math.max(most, used(n));
        await sleep(5);
      }
      assert.match(await p.end(), /whole\nstatus 0\n$/, `seed ${SEED + run}: ${n.logged.slice(-2000)}`);
    }
    assert.ok(most > 0, "answers were used");
  });
}

test("the same while it is moved about", options, async () => {
  await using n = await TestNodes.start(3);
  const random = seeded();
  using p = await TestProgram.start(n.tracees, program("lookups"), "process", TIMES, String(SEED));
  let moves = 0;
  p.signal(SIGUSR1);
  while (!over(p.stdout)) {
    try {
      const at = n.home.tracks.of(p.pid).node ?? 1;
      const to = [1, 2, 3].filter((node) => node !== at)[random.int(2)] ?? 1;
      await n.home.migrate(p.pid, to === 1 ? "home" : to);
      moves++;
    } catch (e) {
      assert.ok(MET.has(toTeselaError(e).code), `seed ${SEED}: ${toTeselaError(e).message}`);
    }
    await sleep(random.float() * 100);
  }
  assert.match(await p.end(), /whole\nstatus 0\n$/, `seed ${SEED}: ${n.logged.slice(-2000)}`);
  assert.ok(moves > 3, `${moves} moves`);
});

test("results are those of home, also where they cost no call", options, async () => {
  await using n = await TestNodes.start(2);
  const run = async (away: boolean): Promise<{ digest: string; used: number; calls: number }> => {
    using p = await TestProgram.start(n.tracees, program("lookups"), "repeat", "5000");
    if (away) await n.home.migrate(p.pid, 2);
    p.signal(SIGUSR1);
    let [most, calls] = [0, 0];
    while (!over(p.stdout)) {
      most = Math.max(most, used(n));
      for (const { leader } of n.node(2).hosting.all()) calls = Math.max(calls, leader.forwarded);
      await sleep(2);
    }
    return { digest: /^digest .*$/m.exec(await p.end())?.[0] ?? "none", used: most, calls };
  };
  const [home, away] = [await run(false), await run(true)];
  assert.equal(away.digest, home.digest);
  assert.ok(away.used > 0 && away.calls > 0, `${away.used} answered here, ${away.calls} by home`);
});
