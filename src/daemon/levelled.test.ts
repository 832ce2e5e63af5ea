import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readProcesses } from "../load/mod.ts";
import { Levelled } from "./levelled.ts";

test("remembers living processes over a restart, and forgets the others", async () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-"));
  const child = spawn("sleep", ["1000"]);
  try {
    const file = join(dir, "levelled.json");
    const first = new Levelled(file, 3);
    first.add(child.pid ?? 0);
    first.add(4_000_000);
    first.sample(readProcesses(), 0);
    const again = new Levelled(file, 3);
    again.sample(readProcesses(), 1000);
    const [row, ...more] = again.rows();
    assert.deepEqual(more, []);
    assert.equal(row?.command, "sleep 1000");
    assert.equal(row?.cpid, `3:${child.pid}`);
    assert.equal(row?.node, 3);
    child.kill("SIGKILL");
    await once(child, "exit");
    again.sample(readProcesses(), 2000);
    assert.deepEqual(again.rows(), []);
    writeFileSync(file, '[{"pid":');
    assert.deepEqual(new Levelled(file, 3).rows(), []);
  } finally {
    child.kill("SIGKILL");
    rmSync(dir, { recursive: true });
  }
});

/** A shell and what it begins, in a group of its own; each number that it says is a line. */
class Tree implements Disposable {
  readonly shell: number;
  readonly said: readonly number[];
  private readonly dir = mkdtempSync(join(tmpdir(), "tesela-"));
  readonly file = join(this.dir, "levelled.json");
  readonly levelled = new Levelled(this.file, 1);

  private constructor(shell: number, said: readonly number[]) {
    this.shell = shell;
    this.said = said;
  }

  /** When it has said two. */
  static async of(script: string): Promise<Tree> {
    const shell = spawn("sh", ["-c", script], { detached: true, stdio: ["ignore", "pipe", "ignore"] });
    let said = "";
    for await (const part of shell.stdout) {
      said += String(part);
      if (said.split("\n").length > 2) break;
    }
    return new Tree(shell.pid ?? 0, said.trim().split("\n").map(Number));
  }

  [Symbol.dispose](): void {
    process.kill(-this.shell, "SIGKILL");
    rmSync(this.dir, { recursive: true });
  }
}

test("children belong to it, found at once or in time, those whose parent has ended too, and inherit the lock", async () => {
  // The middle one ends; its child is an orphan of the same group.
  using tree = await Tree.of("(sleep 1000 & echo $!); sleep 1000 & echo $!; wait");
  const { levelled, shell } = tree;
  const [orphan = 0, child = 0] = tree.said;
  assert.equal(levelled.discover(child), false, "nobody is levelled yet");
  levelled.add(shell, true, { job: "cpu", mask: "1-2" });
  assert.equal(levelled.discover(child), true);
  assert.ok(levelled.isLocked(child));
  levelled.sample(readProcesses(), 0);
  assert.deepEqual(new Set(levelled.rows().map((r) => r.pid)), new Set([shell, child, orphan]));
  assert.ok(levelled.rows().every((r) => r.lock && r.job === "cpu" && r.mask === "1-2"));
  levelled.setMask(shell, undefined);
  levelled.setMask(child, "!3");
  const again = new Levelled(tree.file, 1);
  assert.deepEqual(again.hints(shell), { job: "cpu" });
  assert.deepEqual([again.hints(child).mask, again.hints(orphan).mask], ["!3", "1-2"]);
  assert.deepEqual(again.hints(process.pid), {});
  assert.equal(levelled.discover(process.pid), false);
  assert.equal(levelled.discover(4_000_000), false);
});

test("of its nearest forebear it inherits, not of its group", async () => {
  using tree = await Tree.of("sh -c 'echo $$; sh -c \"sleep 1000 & echo \\$!; wait\"; :' & wait");
  const { levelled, shell } = tree;
  const [middle = 0, sleeper = 0] = tree.said;
  levelled.add(shell, true);
  levelled.add(middle, false, { job: "cpu" });
  assert.equal(levelled.discover(sleeper), true);
  assert.deepEqual([levelled.isLocked(sleeper), levelled.hints(sleeper).job], [false, "cpu"]);
});
