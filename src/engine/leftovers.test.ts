/** What engines make for a process on its way goes with it: nothing holds on to any of it when that process is home again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { queryObjects } from "node:v8";
import { program } from "../../test/programs/build.ts";
import { Inbox } from "./carry.ts";
import { Deputy } from "./deputy.ts";
import { Guest } from "./guest.ts";
import { GuestBuild } from "./guest-build.ts";
import { GuestProcess } from "./guest-process.ts";
import { HomeProcess } from "./home-process.ts";
import { HomeSink } from "./home-sink.ts";
import { HomeThread } from "./home-thread.ts";
import { Seat } from "./seat.ts";
import { SEED, seeded, TestNodes, TestProgram } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const MOVES = 60;
const KINDS = ["read", "futex", "nanosleep", "poll_limit", "sigwaitinfo", "wait4"];
const CLASSES = [Guest, GuestProcess, GuestBuild, HomeProcess, HomeSink, HomeThread, Deputy, Seat, Inbox];
/** Timers of moves that are over still know of them: for a step's time at most. */
const SETTLE_MS = 20_000;
const POLL_MS = 250;

const counts = (): Record<string, number> =>
  Object.fromEntries(CLASSES.map((c) => [c.name, queryObjects(c, { format: "count" })] as const).filter(([, n]) => n > 0));

test("moves leave no object behind", { skip, timeout: 180_000 }, async () => {
  await using n = await TestNodes.start(3);
  using waits = await TestProgram.start(n.tracees, program("waits"), ...KINDS);
  const random = seeded();
  for (let i = 0, at = 1; i < MOVES; i++) {
    const others = [1, 2, 3].filter((node) => node !== at);
    at = i === MOVES - 1 && at !== 1 ? 1 : (others[random.int(2)] ?? 1);
    await n.home.migrate(waits.pid, at === 1 ? "home" : at);
    if (i === MOVES - 1 && at !== 1) await n.home.migrate(waits.pid, "home");
  }
  let left = counts();
  for (let waited = 0; Object.keys(left).length > 0 && waited < SETTLE_MS; waited += POLL_MS) {
    await sleep(POLL_MS);
    left = counts();
  }
  assert.deepEqual(left, {}, `seed ${SEED}`);
  waits.signal(15);
  assert.equal(await waits.end(), `ready\nwaits ${KINDS.length} early 0\nstatus 0\n`, `seed ${SEED}`);
});
