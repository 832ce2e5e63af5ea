import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { readProcesses } from "./stat.ts";
import { TaskMeter, type TaskUse } from "./tasks.ts";
import { MACHINE, Root, schedText, statText } from "./test-root.ts";

const look = (meter: TaskMeter, root: string, pids: readonly number[], nowMs: number): Map<number, TaskUse> =>
  meter.look(
    [...readProcesses(root)].filter(([pid]) => pids.includes(pid)),
    nowMs,
  );

test("a process that began since the last look counts by its own age, one that ended not at all", () => {
  using root = new Root({ ...MACHINE, "proc/uptime": "100.00 0\n" });
  const meter = new TaskMeter(root.path);
  assert.equal(look(meter, root.path, [30, 31], 0).size, 0);
  root.write({ "proc/uptime": "101.00 0\n" });
  // It began 0.2 s ago, ran for 0.1 s of that and waited for 0.08.
  root.write({ "proc/30/stat": statText({ state: "R", ticks: 10, start: 10_080 }), "proc/30/schedstat": schedText(100, 80) });
  // This one is old: what it did before is not of now.
  root.write({ "proc/31/stat": statText({ ticks: 5000, start: 100 }), "proc/31/schedstat": schedText(50_000, 0) });
  const seen = look(meter, root.path, [30, 31, 32], 1000);
  assert.equal(Math.round((seen.get(30)?.demand ?? 0) * 100), 90);
  assert.equal(seen.get(31)?.demand, 0);
  assert.equal(seen.has(32), false);
});

test("threads are summed up, one that is new as well, and none wants more than one CPU", () => {
  using root = new Root({ ...MACHINE, "proc/40/stat": statText({ threads: 2, ticks: 0 }) });
  root.write({ "proc/40/task/40/schedstat": schedText(0, 0), "proc/40/task/41/schedstat": schedText(500, 0) });
  const meter = new TaskMeter(root.path);
  look(meter, root.path, [40], 0);
  root.write({ "proc/40/stat": statText({ threads: 3, ticks: 120 }) });
  root.write({
    "proc/40/task/40/schedstat": schedText(0, 0),
    "proc/40/task/41/schedstat": schedText(1000, 400),
    "proc/40/task/42/schedstat": schedText(600, 0),
  });
  const use = look(meter, root.path, [40], 1000).get(40);
  assert.equal(Math.round((use?.demand ?? 0) * 10), 15);
  assert.equal(use?.cpu, 1.2);
});

test("a PID that was given to another process begins anew; a zombie is gone", () => {
  using root = new Root({ ...MACHINE, "proc/50/stat": statText({ ticks: 100, start: 100 }), "proc/50/schedstat": schedText(1000, 0) });
  const meter = new TaskMeter(root.path);
  look(meter, root.path, [50], 0);
  root.write({ "proc/50/stat": statText({ ticks: 5, start: 9_990 }), "proc/50/schedstat": schedText(50, 0) });
  const use = look(meter, root.path, [50], 1000).get(50);
  assert.equal(Math.round((use?.demand ?? 0) * 10), 5);
  root.write({ "proc/50/stat": statText({ state: "Z", start: 9_990 }) });
  assert.equal(look(meter, root.path, [50], 2000).size, 0);
});

const LONGEST_MS = 10_000;

/** A child that computes until it is ended. */
async function spinner(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ["-e", "process.stdout.write('x'); for (;;) ;"], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout ?? child, "data");
  return child;
}

test("a real process that computes wants one CPU, one that sleeps none", async () => {
  const busy = await spinner();
  const idle = spawn("sleep", ["60"], { stdio: "ignore" });
  try {
    const pids = [busy.pid ?? 0, idle.pid ?? 0];
    const good = (wants = -1, sleeps = -1): boolean => wants > 0.8 && wants < 1.6 && sleeps >= 0 && sleeps < 0.1;
    // However busy this machine is: what it does not get it waits for. Its other threads compile and collect a little. The kernel counts a wait
    // when it is over, so the one that it is in at a look is not in it: the longer the time between looks, the less that is of it.
    for (let ms = 400; ; ms *= 2) {
      const meter = new TaskMeter();
      look(meter, "", pids, performance.now());
      await sleep(ms);
      const seen = look(meter, "", pids, performance.now());
      const [wants, sleeps] = pids.map((pid) => seen.get(pid)?.demand ?? -1);
      if (good(wants, sleeps)) break;
      assert.ok(ms < LONGEST_MS, `in ${ms} ms: ${wants} and ${sleeps}`);
    }
  } finally {
    busy.kill("SIGKILL");
    idle.kill("SIGKILL");
  }
});
