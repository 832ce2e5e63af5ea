/** Real processes become deputies and themselves again, at random moments and many times, and must not notice. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { Log } from "../base/mod.ts";
import { FileHashes } from "../image/mod.ts";
import { proc, Tracees } from "../sys/mod.ts";
import { captureAtHome, readLayout } from "./capture-home.ts";
import type { HomeProcess } from "./home-process.ts";
import { landingsOf } from "./landing.ts";
import { enterAll, SEED, seeded, TestProgram } from "./test-nodes.ts";
import { NO_CPU } from "./tracks.ts";

const skip = process.getuid?.() === 0 ? false : "tracing other users' processes needs root";
const log = new Log({ level: "error" });
const hashes = new FileHashes();
const SIGRTMIN = 34;
const SIGTERM = 15;
const PATIENCE_MS = 20_000;

/** Freezes a process, makes it a deputy, and lets it go again. */
async function there(tracees: Tracees, pid: number, act: (home: HomeProcess) => Promise<void>): Promise<void> {
  const { home, frozen } = await enterAll(tracees, pid, log);
  if (act !== NOTHING) await captureAtHome(home, frozen, readLayout(pid, hashes, home.extents), NO_CPU);
  await act(home);
  await home.leave(landingsOf(frozen));
}
const NOTHING = async (): Promise<void> => {};

test("a busy program with signals becomes a deputy and itself again", { skip, timeout: 120_000 }, async () => {
  using tracees = new Tracees();
  const random = seeded();
  const argv = [program("busy"), "4000"];
  using still = await TestProgram.start(tracees, ...argv);
  using moved = await TestProgram.start(tracees, ...argv);
  let sent = 0;
  for (let turn = 0; turn < 60; turn++) {
    await sleep(random.float() * 15);
    const signal = (): void => {
      moved.signal(SIGRTMIN);
      sent++;
    };
    if (random.int(2) === 0) signal();
    await there(
      tracees,
      moved.pid,
      random.int(3) === 0
        ? NOTHING
        : async (home) => {
            for (let i = random.int(3); i > 0; i--) signal();
            assert.equal(await home.leader.deputy.call(39), BigInt(moved.pid), "getpid");
            if (random.int(4) === 0) await sleep(random.float() * 10);
          },
    );
    if (random.int(2) === 0) signal();
  }
  for (let i = 0; i < sent; i++) still.signal(SIGRTMIN);
  for (const p of [still, moved]) p.signal(SIGTERM);
  const [want, have] = await Promise.all([still.end(), moved.end()]);
  assert.match(want, /status 0\n$/);
  assert.equal(have, want, `seed ${SEED}`);
});

const TURNS = 40;
const FIRST_ROUNDS = 1200;
const MOST_ROUNDS = 20_000;

test("every register comes through", { skip, timeout: 120_000 }, async () => {
  using tracees = new Tracees();
  const random = seeded();
  // Where turns take long the program is over before the last of them.
  for (let [rounds, turns] = [FIRST_ROUNDS, 0]; turns < TURNS; rounds *= 2) {
    assert.ok(rounds < MOST_ROUNDS, `${turns} turns`);
    using spin = await TestProgram.start(tracees, program("spin"), String(rounds), "200000");
    // That it runs.
    await spin.says("round 1");
    try {
      for (turns = 0; turns < TURNS; turns++) {
        await sleep(random.float() * 10);
        await there(tracees, spin.pid, NOTHING);
      }
    } catch (e) {
      if (proc.exists(spin.pid)) throw e;
    }
    assert.match(await spin.end(), /status 0\n$/, `seed ${SEED}`);
  }
});

test("a stop that comes while it is a deputy stops it afterwards, unless it was continued", { skip, timeout: 60_000 }, async () => {
  using tracees = new Tracees();
  using busy = await TestProgram.start(tracees, program("busy"), "1000000");
  const state = async (): Promise<string> => {
    await sleep(50);
    return proc.readStat(busy.pid).state;
  };
  await there(tracees, busy.pid, async () => busy.signal(19));
  for (let waited = 0; (await state()) !== "T"; waited += 50) assert.ok(waited < PATIENCE_MS, "it does not stop");
  assert.equal(await state(), "T", "and stays so");
  busy.signal(18);
  assert.notEqual(await state(), "T");
  await there(tracees, busy.pid, async () => {
    busy.signal(19);
    await sleep(20);
    busy.signal(18);
  });
  assert.notEqual(await state(), "T");
});
