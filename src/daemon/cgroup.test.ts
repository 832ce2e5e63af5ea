import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { glibcBits } from "../abi/mod.ts";
import { readQuota } from "./cgroup.ts";
import { countList, FactSampler, toldLoad } from "./facts.ts";

/** A made-up /proc and /sys. */
class Root implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "tesela-"));
  constructor(files: Record<string, string>) {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(this.path, name)), { recursive: true });
      writeFileSync(join(this.path, name), text);
    }
  }
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

test("cgroup v2: the least of the own group and those above", () => {
  using root = new Root({
    "proc/self/cgroup": "0::/a/b\n",
    "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
    "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
    "sys/fs/cgroup/a/memory.max": "1000000\n",
    "sys/fs/cgroup/a/b/memory.max": "max\n",
    "sys/fs/cgroup/a/memory.current": "600000\n",
    "sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 100000\n",
  });
  assert.deepEqual(readQuota("self", root.path), { cpus: 1.5, memory: 1_000_000, memoryUsed: 500_000 });
});

test("cgroup v1, and none at all", () => {
  using root = new Root({
    "proc/self/cgroup": "5:memory:/m\n4:cpu,cpuacct:/c\n0::/\n",
    "sys/fs/cgroup/cpu/c/cpu.cfs_quota_us": "50000\n",
    "sys/fs/cgroup/cpu/c/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
    "sys/fs/cgroup/memory/m/memory.limit_in_bytes": "2000000\n",
    "sys/fs/cgroup/memory/m/memory.usage_in_bytes": "1000\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
  });
  assert.deepEqual(readQuota("self", root.path), { cpus: 0.5, memory: 2_000_000, memoryUsed: 1000 });
  using bare = new Root({ "proc/self/cgroup": "0::/../..\n" });
  assert.deepEqual(readQuota("self", bare.path), { cpus: Number.POSITIVE_INFINITY, memory: Number.POSITIVE_INFINITY, memoryUsed: 0 });
});

test("facts: CPUs by affinity and quota, memory by the tighter limit, load for each CPU", () => {
  const stat = (state: string, threads: number): string => `9 (a) b) ${state} 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 ${threads} 0 5 0 0`;
  using root = new Root({
    "proc/self/cgroup": "0::/x\n",
    "proc/self/status": "Name:\tx\nCpus_allowed_list:\t0-1,5\n",
    "proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu pni avx vmx\n",
    "proc/meminfo": "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    500 kB\n",
    "sys/fs/cgroup/x/cpu.max": "200000 100000\n",
    "sys/fs/cgroup/x/memory.max": "409600\n",
    "sys/fs/cgroup/x/memory.current": "9600\n",
    "proc/7/stat": stat("R", 1),
    "proc/8/stat": stat("S", 2),
    "proc/8/task/8/stat": stat("R", 2),
    "proc/8/task/9/stat": stat("R", 2),
  });
  const cpu = glibcBits(new Set(["pni", "avx"]));
  assert.deepEqual(new FactSampler(root.path).sample(), { cpus: 2, speed: 10_000, cpu, load: 1.5, memTotal: 409_600, memFree: 400_000 });
  const real = new FactSampler().sample();
  assert.ok(real.cpus > 0 && real.memTotal > real.memFree && real.memFree > 0);
});

test("told load rises at once and falls slowly", () => {
  assert.equal(toldLoad(1, 3), 3);
  assert.equal(toldLoad(8, 0), 7);
  assert.equal(countList("0-3,8"), 5);
});
