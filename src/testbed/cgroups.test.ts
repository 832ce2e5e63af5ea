import assert from "node:assert/strict";
import { test } from "node:test";
import { findMemoryController, makeMemoryGroup } from "./cgroups.ts";
import { parseCpuList } from "./cpus.ts";

const V1 = [
  "40 27 0:30 / /sys/fs/cgroup rw - tmpfs tmpfs rw",
  "41 40 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu",
  "42 40 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
  "43 40 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
].join("\n");
const V2 = "41 40 0:31 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate";

test("version 1 has a hierarchy for memory, and wins where both are mounted", () => {
  assert.deepEqual(findMemoryController(V1, "4:memory:/a/b\n1:cpu:/\n0::/x"), {
    version: 1,
    bases: ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/a/b", "/sys/fs/cgroup/memory/a"],
  });
});

test("version 2: the top, then from the own group upwards", () => {
  assert.deepEqual(findMemoryController(V2, "0::/user.slice/session"), {
    version: 2,
    bases: ["/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/session", "/sys/fs/cgroup/user.slice"],
  });
  const inContainer = V2.replace(" / /sys", " /docker/c1 /sys");
  assert.deepEqual(findMemoryController(inContainer, "0::/docker/c1/sub")?.bases, ["/sys/fs/cgroup", "/sys/fs/cgroup/sub"]);
});

test("without a controller, or without the right to it, a limit is refused plainly", () => {
  assert.equal(findMemoryController("", ""), null);
  assert.throws(() => makeMemoryGroup(null, "x", 1), { code: "E_MISSING" });
  assert.throws(() => makeMemoryGroup({ version: 2, bases: ["/nowhere", "/proc/self"] }, "x", 1), { code: "E_MISSING" });
});

test("CPU lists", () => {
  assert.deepEqual(parseCpuList("0-3,8,10-11\n"), [0, 1, 2, 3, 8, 10, 11]);
  assert.deepEqual(parseCpuList(""), []);
});
