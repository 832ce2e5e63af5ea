import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { keepBelow, parseCpuList, possibleCpus } from "./cpus.ts";

test("lists of CPUs", () => {
  assert.deepEqual(parseCpuList("0-3,8\n"), [0, 1, 2, 3, 8]);
  assert.deepEqual(parseCpuList("5"), [5]);
  assert.deepEqual(parseCpuList("\n"), []);
  assert.ok(possibleCpus() >= 1);
});

test("a process stays on CPUs that another machine has, too", async () => {
  const child = spawn("sleep", ["100"]);
  try {
    await once(child, "spawn");
    const pid = child.pid as number;
    const allowed = (): string => /^Cpus_allowed_list:\t(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";
    const before = allowed();
    keepBelow(pid, possibleCpus());
    assert.equal(allowed(), before);
    const [first = 0] = parseCpuList(before);
    keepBelow(pid, first + 1);
    assert.equal(allowed(), String(first));
    if (possibleCpus() > 1) assert.throws(() => keepBelow(pid, 0), /all CPUs here have numbers/);
  } finally {
    child.kill("SIGKILL");
  }
});
