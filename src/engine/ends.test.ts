/** Processes of several threads that end at any moment: while they are moved, or while one thread of them is waited for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { toTeselaError } from "../base/mod.ts";
import { isEnd, Tracees } from "../sys/mod.ts";
import { seizeAndFreeze } from "./seize.ts";
import { SEED, seeded, TestNodes, TestProgram } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "tracing other users' processes needs root";
const SIGKILL = 9;

test("the end of a first thread is heard of though its others have not been waited for", { skip, timeout: 60_000 }, async () => {
  using tracees = new Tracees();
  using waits = await TestProgram.start(tracees, program("waits"), "read", "futex", "nanosleep");
  const { pid } = waits;
  const { others } = await seizeAndFreeze(tracees, { pid, seized: false });
  const ended = new Set<number>();
  for (const { tid } of others) tracees.claim(tid, (s) => isEnd(s) && ended.add(tid));
  waits.signal(SIGKILL);
  assert.deepEqual(tracees.wait(pid), { kind: "killed", signal: SIGKILL, core: false });
  assert.equal(await waits.end(), "ready\nstatus 137\nKilled\n");
  assert.deepEqual([...ended].sort(), others.map((t) => t.tid).sort());
});

const KINDS = ["read", "futex", "nanosleep", "nanosleep_until", "sigwaitinfo", "poll", "lock_pi"];
const VICTIMS = 20;
const MOST_LIFE_MS = 400;
const SETTLE_MS = 20_000;
/** What a move is told of a process that ends in its middle, or that is where it is to go. */
const EXPECTED = ["E_GONE", "E_NOENT_PID", "E_EXISTS", "E_BUSY"];

test("killed at any moment, all their threads end, and nothing is left of them anywhere", { skip, timeout: 180_000 }, async () => {
  await using n = await TestNodes.start(3);
  const random = seeded();
  for (let i = 0; i < VICTIMS; i++) {
    using victim = await TestProgram.start(n.tracees, program("waits"), ...KINDS);
    const timer = setTimeout(() => victim.signal(SIGKILL), random.float() * MOST_LIFE_MS);
    using _ = { [Symbol.dispose]: () => clearTimeout(timer) };
    for (let code: string | null = null; code !== "E_NOENT_PID"; ) {
      const to = 1 + random.int(3);
      code = await n.home.migrate(victim.pid, to === 1 ? "home" : to).then(
        () => null,
        (e: unknown) => {
          const error = toTeselaError(e);
          assert.ok(EXPECTED.includes(error.code), `seed ${SEED}: ${error.code} ${error.message}`);
          return error.code;
        },
      );
      await sleep(random.float() * 5);
    }
    assert.equal(await victim.end(), "ready\nstatus 137\nKilled\n", `seed ${SEED}`);
  }
  const left = (): number => n.nodes.reduce((sum, node) => sum + node.hosting.count, 0) + n.home.awayCount;
  for (let waited = 0; left() > 0 && waited < SETTLE_MS; waited += 10) await sleep(10);
  assert.equal(left(), 0, `seed ${SEED}`);
  const errors = n.logged.split("\n").filter((line) => line.includes('"level":"error"'));
  assert.deepEqual(errors, [], `seed ${SEED}`);
});
