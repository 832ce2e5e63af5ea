import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Habits, MOST_PATHS } from "./habits.ts";
import { type Look, Programs } from "./programs.ts";

function inDir(work: (file: string) => void): void {
  const dir = mkdtempSync(join(tmpdir(), "tesela-"));
  try {
    work(join(dir, "habits.json"));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

test("habits are learnt run by run, and kept", () =>
  inDir((file) => {
    const habits = new Habits(file);
    assert.equal(habits.of("/bin/cc1"), null);
    habits.learn("/bin/cc1", { cpu: 1, calls: null, rss: 100 });
    assert.deepEqual(habits.of("/bin/cc1"), { cpu: 1, calls: null, rss: 100, runs: 1 });
    habits.learn("/bin/cc1", { cpu: 3, calls: 40, rss: 200 });
    assert.deepEqual(habits.of("/bin/cc1"), { cpu: 2, calls: 40, rss: 150, runs: 2 }, "the first two count alike");
    for (let i = 0; i < 40; i++) habits.learn("/bin/cc1", { cpu: 9, calls: null, rss: 150 });
    assert.ok(Math.abs((habits.of("/bin/cc1")?.cpu ?? 0) - 9) < 0.01, "it follows what has changed");
    assert.equal(habits.of("/bin/cc1")?.calls, 40);
    habits.save();
    assert.deepEqual(new Habits(file).of("/bin/cc1"), habits.of("/bin/cc1"));
    for (const bad of ['[["/x",{"cpu":-1}],7]', "{}", '[["/x"']) {
      writeFileSync(file, bad);
      assert.equal(new Habits(file).of("/x"), null);
    }
  }));

test("no more paths are kept than the limit: those longest without a run go", () =>
  inDir((file) => {
    const habits = new Habits(file);
    for (let i = 0; i <= MOST_PATHS; i++) {
      habits.learn(`/bin/${i}`, { cpu: 0, calls: null, rss: 0 });
      habits.learn("/bin/often", { cpu: 1, calls: null, rss: 0 });
    }
    assert.equal(habits.of("/bin/0"), null);
    assert.equal(habits.of("/bin/often")?.cpu, 1);
  }));

test("a program's habit is what it used from its exec to its end", () =>
  inDir((file) => {
    const habits = new Habits(file);
    const programs = new Programs(habits);
    const looks = new Map<number, Look>();
    let time = 0;
    const look = (): void => programs.look(time, (pid) => looks.get(pid) ?? null);
    const begin = (path: string, before: number, node: number | null = null): void =>
      programs.begin({ pid: 7, start: "1", path, before, cpuMs: 0, rss: 0, calls: null, node, heavy: true, begunAt: time });
    const now = (cpuMs: number, calls: number | null = null, node: number | null = null): void => {
      looks.set(7, { start: "1", cpuMs, rss: 50, calls, node });
      look();
    };
    begin("/bin/sh", 0);
    now(30);
    begin("/bin/cc1", 30);
    assert.equal(habits.of("/bin/sh")?.cpu, 0.03, "an exec ends what was there before");
    now(530);
    assert.equal(programs.countHeavy(null), 1);
    looks.set(7, { start: "2", cpuMs: 99_999, rss: 1, calls: null, node: null });
    look();
    assert.equal(habits.of("/bin/cc1")?.cpu, 0.5, "the PID is another's now");
    assert.equal(programs.countHeavy(null), 0);

    begin("/bin/cc1", 0, 2);
    now(100, 40);
    assert.equal(programs.countHeavy(2), 1);
    looks.clear();
    look();
    assert.equal(habits.of("/bin/cc1")?.cpu, 0.5, "what was last seen of one that was away is no measure of how little it takes");
    begin("/bin/cc1", 0, 2);
    programs.stays(7, "/bin/cc1");
    assert.deepEqual([programs.countHeavy(2), programs.countHeavy(null)], [0, 1]);
    assert.equal(habits.of("/bin/cc1")?.runs, 1, "that it was not sent after all is no run of it");
    now(900, 40);
    looks.clear();
    look();
    assert.equal(habits.of("/bin/cc1")?.cpu, 0.7);
    assert.equal(habits.of("/bin/cc1")?.calls, 40);

    begin("/bin/cc1", 0, 2);
    now(10, null, null);
    assert.equal(programs.countHeavy(2), 1, "news that are older than its departure say nothing of where it is");
    time = 60_000;
    now(500, 40, 3);
    assert.deepEqual([programs.countHeavy(2), programs.countHeavy(3)], [0, 1], "it has been moved on");
  }));
