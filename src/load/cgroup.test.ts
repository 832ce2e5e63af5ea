import assert from "node:assert/strict";
import { test } from "node:test";
import { readQuota } from "./cgroup.ts";
import { Root } from "./test-root.ts";

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

test("cgroup v2: memory.high is a limit, and a group above may have less left", () => {
  using root = new Root({
    "proc/self/cgroup": "0::/a/b\n",
    "sys/fs/cgroup/a/b/memory.max": "1000000\n",
    "sys/fs/cgroup/a/b/memory.high": "800000\n",
    "sys/fs/cgroup/a/b/memory.current": "300000\n",
    "sys/fs/cgroup/a/b/memory.stat": "inactive_file 50000\nactive_file 100000\nslab_reclaimable 20000\n",
    "sys/fs/cgroup/a/memory.max": "2000000\n",
    "sys/fs/cgroup/a/memory.current": "1900000\n",
  });
  // 100000 are left in the one above, of the 800000 here.
  assert.deepEqual(readQuota("self", root.path), { cpus: Number.POSITIVE_INFINITY, memory: 800_000, memoryUsed: 700_000 });
  root.write({ "sys/fs/cgroup/a/memory.max": "max\n" });
  assert.equal(readQuota("self", root.path).memoryUsed, 190_000);
});

test("cgroup v1: page cache in use counts by half", () => {
  using root = new Root({
    "proc/self/cgroup": "5:memory:/m\n",
    "sys/fs/cgroup/memory/m/memory.limit_in_bytes": "1000000\n",
    "sys/fs/cgroup/memory/m/memory.usage_in_bytes": "900000\n",
    "sys/fs/cgroup/memory/m/memory.stat": "inactive_file 7\ntotal_inactive_file 300000\ntotal_active_file 200000\n",
  });
  assert.equal(readQuota("self", root.path).memoryUsed, 500_000);
});
