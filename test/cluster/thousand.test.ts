/**
 * One long program of many threads that is moved a thousand times: none of its waits is over early, and nothing of all that stays behind.
 * TESELA_SEED repeats moves and kinds of waits, TESELA_MOVES says how many moves, TESELA_WAITS=all or names says which kinds.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { toTeselaError } from "../../src/base/mod.ts";
import { program, WAITS } from "../programs/build.ts";
import { cannot, startCluster, type TestCluster } from "./harness.ts";
import { homecomings, listen, migrate, randomFrom, SEED, troubles } from "./move.ts";
import { atRest, exact, type Rest } from "./rest.ts";
import { Talk } from "./talk.ts";

const skip = await cannot();
const MOVES = Number(process.env.TESELA_MOVES ?? 1000);
/** Until engines have what they keep, and all pairs of nodes know each other. */
const WARM_UP = 200;
/** So many of all kinds, others each time: threads make a move longer. */
const SOME = 12;
const MOST_PAUSE_MS = 10;
/** What an engine's own memory management may take more at one time than at another. */
const SLACK_MIB = 16;
const SIGTERM = "SIGTERM";

let cluster: TestCluster;
before(async () => {
  if (skip === false) cluster = await startCluster({ n: 3 });
});
after(async () => await cluster?.[Symbol.asyncDispose]());

function chosen(random: () => number): readonly string[] {
  const asked = process.env.TESELA_WAITS;
  if (asked) return asked === "all" ? WAITS : asked.split(",");
  const left: string[] = [...WAITS];
  return Array.from({ length: SOME }, () => left.splice(Math.floor(random() * left.length), 1)[0] ?? "read");
}

test(`${MOVES} moves leave nothing behind`, { skip }, async (t) => {
  const random = randomFrom(SEED);
  const kinds = chosen(random);
  t.diagnostic(`seed ${SEED}: ${kinds.join(",")}`);
  const said = listen(cluster);
  await using waits = await Talk.start(cluster, [program("waits"), ...kinds]);
  assert.equal(await waits.next(), "ready");
  let at = 1;
  const move = async (to: number): Promise<void> => {
    await migrate(cluster, waits.pid, to).catch((e: unknown) => {
      const { code, message } = toTeselaError(e);
      assert.fail(`seed ${SEED}: from ${at} to ${to}: ${code} ${message}`);
    });
    at = to;
  };
  const wander = async (moves: number): Promise<void> => {
    for (let i = 0; i < moves; i++) {
      const others = [1, 2, 3].filter((n) => n !== at);
      await move(others[Math.floor(random() * others.length)] ?? 1);
      if (waits.lines.length > 1) break;
      await sleep(random() * MOST_PAUSE_MS);
    }
    if (at !== 1) await move(1);
    assert.deepEqual(waits.lines, ["ready"], `seed ${SEED}: no wait is over early`);
  };
  await wander(Math.min(WARM_UP, MOVES));
  const before = await atRest(cluster, waits);
  await wander(Math.max(0, MOVES - WARM_UP));
  const after = await atRest(cluster, waits, before);
  const resident = (rest: Rest): string => rest.engines.map((e) => e.ownMiB.toFixed(1)).join(", ");
  t.diagnostic(`engines' MiB: ${resident(before)} before, ${resident(after)} after`);
  assert.deepEqual(exact(after), exact(before));
  after.engines.forEach((e, i) => {
    const grown = e.ownMiB - (before.engines[i]?.ownMiB ?? 0);
    assert.ok(grown < SLACK_MIB, `node ${i + 1}'s engine has grown by ${grown.toFixed(1)} MiB`);
  });
  process.kill(waits.outerPid, SIGTERM);
  const { status, lines } = await waits.end();
  assert.deepEqual([status, ...lines], [0, "ready", `waits ${kinds.length} early 0`], waits.stderr);
  assert.deepEqual(
    [1, 2, 3].flatMap((n) => homecomings(said(n))),
    [],
  );
  assert.deepEqual(
    [1, 2, 3].flatMap((n) => troubles(said(n))),
    [],
  );
});
