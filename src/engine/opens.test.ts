/** A program that opens files sees in them what it would see at home, though most of it came with the answer to its open. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { moved } from "./test-moves.ts";
import { SEED, seeded, TestNodes, TestProgram } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const options = { skip, timeout: 240_000 };
const SIGUSR1 = 10;
const CHANGES = "500";
const OPENS = "4000";
const over = (said: string): boolean => /^status/m.test(said);

/** Calls of all guests that were answered where they run. */
const used = (n: TestNodes): number =>
  n.nodes.flatMap(({ hosting }) => [...hosting.all()].flatMap((p) => [...p.threads.values()])).reduce((sum, g) => sum + g.ahead.used, 0);

for (const who of ["process", "signals"]) {
  test(`what a ${who} has told of is read`, options, async () => {
    await using n = await TestNodes.start(2);
    using p = await TestProgram.start(n.tracees, program("opens"), who, CHANGES, String(SEED));
    await n.home.migrate(p.pid, 2);
    p.signal(SIGUSR1);
    let most = 0;
    while (!over(p.stdout)) {
      most = Math.max(most, used(n));
      await sleep(5);
    }
    assert.match(await p.end(), /whole\nstatus 0\n$/, `seed ${SEED}: ${n.logged.slice(-2000)}`);
    assert.ok(most > 0, "answers were used");
  });
}

/** What it makes of the files, when it stays at home, is away, or moves about. */
async function run(n: TestNodes, where: "home" | "away" | "about"): Promise<{ digest: string; used: number; moves: number }> {
  const random = seeded();
  using p = await TestProgram.start(n.tracees, program("opens"), "repeat", OPENS, String(SEED));
  if (where !== "home") await n.home.migrate(p.pid, 2);
  p.signal(SIGUSR1);
  let [most, moves] = [0, 0];
  while (!over(p.stdout)) {
    most = Math.max(most, used(n));
    await sleep(2 + random.float() * 12);
    if (where !== "about") continue;
    const to = 1 + random.int(3);
    moves += (await moved(n, p.pid, to, ["own_view"])) === null ? 1 : 0;
  }
  const said = await p.end();
  assert.match(said, /status 0\n$/, `seed ${SEED}: ${said.slice(-500)} ${n.logged.slice(-2000)}`);
  return { digest: /^digest .*$/m.exec(said)?.[0] ?? "none", used: most, moves };
}

test("what is opened, read, handed on and mapped in any order is the same away and on the move", options, async () => {
  await using n = await TestNodes.start(3);
  const [home, away, about] = [await run(n, "home"), await run(n, "away"), await run(n, "about")];
  assert.equal(away.digest, home.digest, `seed ${SEED}`);
  assert.equal(about.digest, home.digest, `seed ${SEED}, ${about.moves} moves`);
  assert.ok(away.used > 500, `${away.used} answered here`);
  assert.ok(about.moves > 3, `${about.moves} moves`);
});

test("what is not there is not found without a descriptor for it either", options, async () => {
  await using n = await TestNodes.start(2);
  using p = await TestProgram.start(n.tracees, program("opens"), "limit");
  await n.home.migrate(p.pid, 2);
  p.signal(SIGUSR1);
  assert.match(await p.end(), /whole\nstatus 0\n$/);
});
