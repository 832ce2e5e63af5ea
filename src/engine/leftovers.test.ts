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
const SETTLE_MS = 60_000;
const POLL_MS = 500;

const count = (of: (typeof CLASSES)[number]): number => queryObjects(of, { format: "count" });

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
  // Of one kind after the other: to count them takes a collection of all garbage.
  for (let [kind, waited] = [0, 0]; kind < CLASSES.length && waited < SETTLE_MS; ) {
    const of = CLASSES[kind];
    if (of === undefined || count(of) === 0) kind++;
    else {
      await sleep(POLL_MS);
      waited += POLL_MS;
    }
  }
  const left = CLASSES.map((c) => [c.name, count(c)] as const).filter(([, n]) => n > 0);
  assert.deepEqual(left, [], `seed ${SEED}`);
  waits.signal(15);
  assert.equal(await waits.end(), `ready\nwaits ${KINDS.length} early 0\nstatus 0\n`, `seed ${SEED}`);
});
