import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ExecPoll } from "./exec-poll.ts";
import type { Beginning } from "./exec-watch.ts";

const SLEEP = realpathSync("/bin/sleep");
const GUARD_MS = 20_000;

/** A shell that has begun before it is looked at, and goes on when told to. */
class Shell implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly poll: ExecPoll;
  readonly heard: Beginning[] = [];

  constructor(script: string) {
    this.child = spawn("/bin/sh", ["-c", `read go; ${script}`], { stdio: ["pipe", "ignore", "ignore"], detached: true });
    this.pid = this.child.pid ?? 0;
    this.poll = new ExecPoll(() => [this.pid]);
    this.poll.take();
  }

  go(): void {
    this.child.stdin?.write("\n");
  }

  async until(what: string, good: () => boolean): Promise<void> {
    for (const start = performance.now(); !good(); await sleep(5)) {
      this.heard.push(...this.poll.take());
      assert.ok(performance.now() - start < GUARD_MS, `${what}: ${JSON.stringify(this.heard)}`);
    }
  }

  count(path: string): number {
    return this.heard.filter((b) => b.path === path).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.poll[Symbol.dispose]();
    process.kill(-this.pid, "SIGKILL");
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "exit");
  }
}

test("programs that begin in a tree are seen, once each, at any depth; what ran before is none of them", async () => {
  await using sh = new Shell("for i in 1 2 3; do sleep 60 & done; sh -c 'sleep 60 & wait' & wait");
  await sleep(30);
  assert.deepEqual(sh.poll.take(), []);
  sh.go();
  await sh.until("four", () => sh.count(SLEEP) >= 4);
  await sleep(100);
  sh.heard.push(...sh.poll.take());
  assert.equal(sh.count(SLEEP), 4);
  assert.equal(new Set(sh.heard.map((b) => b.pid)).size, sh.heard.length, "each is another process");
});

test("a process that becomes another program is seen, and again when it becomes the next, also long after it began", async () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-"));
  try {
    const copy = join(realpathSync(dir), "shell");
    copyFileSync(realpathSync("/bin/sh"), copy);
    await using sh = new Shell(`exec ${copy} -c 'read go; exec sleep 60'`);
    sh.go();
    await sh.until("the copy", () => sh.count(copy) === 1);
    await sleep(700);
    sh.go();
    await sh.until("sleep", () => sh.count(SLEEP) === 1);
    assert.deepEqual(
      sh.heard.map((b) => b.pid),
      [sh.pid, sh.pid],
    );
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("many that end at any moment are no error, and of none that is gone anything is kept", async () => {
  await using sh = new Shell("i=0; while [ $i -lt 300 ]; do sleep 0 & i=$((i+1)); done; wait; exec sleep 60");
  sh.go();
  await sh.until("the last", () => sh.heard.some((b) => b.pid === sh.pid && b.path === SLEEP));
  const gone = new ExecPoll(() => [4_194_303]);
  assert.deepEqual(gone.take(), []);
});

test("nobody is looked at more often than every 30 ms", () => {
  let looks = 0;
  const poll = new ExecPoll(() => {
    looks++;
    return [process.pid];
  });
  for (const now of [1000, 1001, 1029.9]) poll.take(now);
  assert.equal(looks, 1);
  poll.take(1_000_000);
  assert.equal(looks, 2);
});
