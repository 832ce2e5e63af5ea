import assert from "node:assert/strict";
import { test } from "node:test";
import { KiB, PAGE } from "../base/mod.ts";
import { MemoryMeter } from "./memory.ts";
import { PressureMeter } from "./pressure.ts";
import { MACHINE, Root } from "./test-root.ts";

const meminfo = (available: number): Record<string, string> => ({
  "proc/meminfo": `MemTotal: 1000000 kB\nMemAvailable: ${available} kB\n`,
});
const pressure = (some: number, full: number): string =>
  `some avg10=1.00 avg60=0.00 avg300=0.00 total=${some}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=${full}\n`;

test("memory: what is free, how fast it shrinks, and swap traffic", () => {
  using root = new Root({ ...MACHINE, ...meminfo(500_000), "proc/vmstat": "nr_free_pages 1\npswpin 10\npswpout 20\npgswap 7\n" });
  const meter = new MemoryMeter(root.path);
  assert.deepEqual(meter.sample(0), { memTotal: 1_000_000 * KiB, memFree: 500_000 * KiB, memGrowth: 0, swapIn: 0, swapOut: 0 });
  root.write({ ...meminfo(400_000), "proc/vmstat": "pswpin 15\npswpout 20\n" });
  const sample = meter.sample(500);
  // Three quarters of 200000 KiB a second.
  assert.deepEqual([sample.memGrowth, sample.swapIn, sample.swapOut], [150_000 * KiB, 10 * PAGE, 0]);
  root.write(meminfo(400_000));
  assert.equal(meter.sample(1500).memGrowth, 75_000 * KiB);
});

test("swap traffic and pressure of the own group come before those of the machine", () => {
  using root = new Root({
    ...MACHINE,
    "proc/self/cgroup": "0::/g\n",
    "sys/fs/cgroup/g/cgroup.type": "domain\n",
    "sys/fs/cgroup/g/memory.stat": "anon 1\npswpin 0\npswpout 0\n",
    "sys/fs/cgroup/g/memory.pressure": pressure(1000, 0),
    "proc/pressure/memory": pressure(9_000_000, 0),
    "proc/pressure/cpu": pressure(0, 0),
    "proc/vmstat": "pswpin 1\npswpout 1\n",
  });
  const memory = new MemoryMeter(root.path);
  const stalls = new PressureMeter(root.path);
  memory.sample(0);
  assert.deepEqual(stalls.sample(0), {});
  root.write({
    "sys/fs/cgroup/g/memory.stat": "anon 1\npswpin 100\npswpout 0\n",
    "sys/fs/cgroup/g/memory.pressure": pressure(251_000, 100_000),
    "proc/pressure/cpu": pressure(500_000, 0),
    "proc/vmstat": "pswpin 999\npswpout 999\n",
  });
  assert.equal(memory.sample(1000).swapIn, 100 * PAGE);
  assert.deepEqual(stalls.sample(1000), { cpu: 0.5, memory: 0.25, memoryFull: 0.1 });
});

test("a kernel without pressure says nothing of it", () => {
  using root = new Root(MACHINE);
  assert.equal(new PressureMeter(root.path).sample(0), null);
});
