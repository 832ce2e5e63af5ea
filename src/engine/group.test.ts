/** Processes that share memory move together, with all that they do to it and for each other, at any moment. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { toTeselaError } from "../base/mod.ts";
import { SEED, seeded, TestNodes, TestProgram, tree } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";

const PAUSE_MS = 300;
const POLL_MS = 10;
const HANG_MS = 60_000;

/** What may be said of a process of which one knows no more than its PID; all else is a fault. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  E_GONE: [],
  E_NOENT_PID: [],
  E_EXISTS: [],
  E_BUSY: [],
  E_CANTMOVE: ["ended", "traced", "system", "shared_memory", "sysv_shm", "monkey"],
};

/** Moves any of the family, and with it all that share its memory, until the family has ended. */
async function moveAbout(n: TestNodes, group: TestProgram, mostMs: number): Promise<number> {
  const { pid } = group;
  const random = seeded();
  let moves = 0;
  const began = Date.now();
  await n.home.migrate(pid, 2);
  while (tree(pid).length > 0) {
    if (Date.now() - began > HANG_MS)
      assert.fail(`seed ${SEED}: it hangs after ${moves} moves\n${group.stdout}${group.stderr}\n${n.logged.slice(-8000)}`);
    const all = tree(pid);
    const one = all[random.int(all.length)] ?? pid;
    const to = random.int(6) === 0 ? 1 : 2 + random.int(2);
    try {
      await n.home.migrate(one, to === 1 ? "home" : to);
      moves++;
    } catch (e) {
      const { code, message, details } = toTeselaError(e);
      const reasons = (details.reasons ?? []) as string[];
      assert.ok(
        EXPECTED[code] && reasons.every((r) => EXPECTED[code]?.includes(r)),
        `seed ${SEED}: ${code} ${message} ${reasons}\n${(e as Error).stack}`,
      );
      if (code === "E_NOENT_PID" && one === pid) break;
    }
    const away = n.home.tracks.all().filter((t) => t.process?.phase === "away");
    assert.equal(new Set(away.map((t) => t.process?.host?.node)).size <= 1, true, `seed ${SEED}: they are on one node`);
    await sleep(random.float() * mostMs);
  }
  return moves;
}

test("a group moved at random does what it does unmoved", { skip, timeout: 180_000 }, async () => {
  await using n = await TestNodes.start(3);
  const args = ["3", "200", String(PAUSE_MS)];
  const output = async (moving: (group: TestProgram) => Promise<void>): Promise<string> => {
    using group = await TestProgram.start(n.tracees, program("group"), ...args);
    await moving(group);
    return await group.end();
  };
  const want = await output(async () => {});
  assert.match(want, /done \d+ deaths \d+\nstatus 0\n$/);
  let moves = 0;
  const have = await output(async (group) => {
    moves = await moveAbout(n, group, 20);
  });
  assert.equal(have, want, `seed ${SEED}, ${moves} moves\n${n.logged.slice(-8000)}`);
  assert.ok(moves >= 5, `${moves} moves`);
  const left = (): number => n.nodes.reduce((sum, node) => sum + node.hosting.count, 0) + n.home.awayCount;
  for (let waited = 0; left() > 0 && waited < HANG_MS; waited += POLL_MS) await sleep(POLL_MS);
  assert.equal(left(), 0, `seed ${SEED}`);
});
