import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Crew, wrongRecords } from "./crew.ts";
import { beforeAfter, gaugeLine, riseText, scaleFor, shareText } from "./gauge.ts";
import { crewCommand, ENDED, makeRecords } from "./records.ts";
import { outcomeLines } from "./spread.ts";

const never = new AbortController().signal;

class Dir implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "tesela-proclb-"));
  file(text: string): string {
    const path = join(this.path, "re\\cords");
    writeFileSync(path, text);
    return path;
  }
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

function start(file: string, children: number): Crew {
  const [command, ...args] = crewCommand(file, children);
  return new Crew(spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] }), children);
}

function gone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (e) {
    return (e as NodeJS.ErrnoException).code === "ESRCH";
  }
}

test("children go over their file again and again, all with the same totals, until they are told to end", async () => {
  using dir = new Dir();
  const crew = start(dir.file(`one two\n\n${"long ".repeat(80)}\n\u00fcml\u00e4ut without an end`), 3);
  try {
    await crew.ready(never);
    await crew.reach(9, never);
  } finally {
    await crew.end();
  }
  assert.deepEqual(crew.ends, [ENDED, ENDED, ENDED]);
  assert.deepEqual(crew.failed(), []);
  const [first = [], ...others] = crew.totals;
  assert.ok(first.length >= 9 && new Set(first).size > 4, "the second round goes on from the first");
  for (const totals of others) {
    const n = Math.min(totals.length, first.length);
    assert.deepEqual(totals.slice(0, n), first.slice(0, n));
  }
  assert.equal(crew.pids.length, 3);
  assert.ok(crew.pids.every(gone));
});

test("children whose file is not there are an error, and no child is left when their parent is killed", async () => {
  using dir = new Dir();
  const none = start(join(dir.path, "none"), 1);
  try {
    await assert.rejects(none.ready(never), /do not process records: .*status 3/);
  } finally {
    await none.end();
  }
  assert.deepEqual(none.failed(), [{ child: 0, status: 3 }]);

  const [command, ...args] = crewCommand(dir.file(makeRecords()), 2);
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
  const crew = new Crew(child, 2);
  await crew.ready(never);
  child.kill("SIGKILL");
  child.stdout.destroy();
  await crew.end();
  // Nobody reads what they say: SIGPIPE, with the next record.
  while (!crew.pids.every(gone)) await new Promise((resolve) => setTimeout(resolve, 20));
});

test("wrong records are counted, missing ones too", () => {
  assert.equal(wrongRecords([1, 2, 3], [1, 2, 3, 4]), 0);
  assert.equal(wrongRecords([1, 5, 3], [1, 2, 3]), 1);
  assert.equal(wrongRecords([1, 2, 3], [1]), 2);
});

test("a line a second, with a bar to scale", () => {
  assert.equal(gaugeLine(1, 835, 1800, 10), "  1: #####      |1800:  835 recs/sec");
  assert.equal(gaugeLine(10, 9000, 1800, 10), " 10: ########## |1800: 9000 recs/sec");
  assert.equal(shareText(["h1", "h2"], [12.4, 800]), "h1   12  h2  800");
  assert.equal(scaleFor(180, 1, 2), 360);
  assert.equal(scaleFor(0, 1, 3), 10);
  assert.equal(scaleFor(1234, 2, 4), 2500);
});

test("before and after", () => {
  assert.deepEqual(beforeAfter([0, 100, 110, 90, 120, 200, 210], 3), { before: 105, after: 205 });
  assert.equal(beforeAfter([1, 2, 3], 0), null, "levelling was left alone");
  assert.equal(beforeAfter([1, 2, 3], 3), null, "it was never on");
  assert.equal(riseText({ before: 100, after: 190 }), "100 records/s before, 190 after: 1.90 x");
  const outcome = {
    rise: null,
    records: 10,
    wrong: 0,
    failed: 0,
    movers: 1,
    moves: 2,
    places: [
      { node: "h1", children: 1 },
      { node: "h2", children: 1 },
    ],
  };
  assert.deepEqual(outcomeLines(outcome, 2), [
    "1 of 2 programs moved by themselves, 2 moves in all; at the end h1 had 1, h2 had 1.",
    "All 10 results of 2 programs equal those without Tesela.",
  ]);
  assert.deepEqual(outcomeLines({ ...outcome, moves: 0, wrong: 3, failed: 1 }, 2), [
    "No program moved.",
    "1 of 2 programs ended before they were told to.",
    "3 of 10 results of 2 programs are NOT what they are without Tesela.",
  ]);
});
