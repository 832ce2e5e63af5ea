import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Levelled } from "./levelled.ts";

test("remembers living processes over a restart, and forgets the others", async () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-"));
  const child = spawn("sleep", ["1000"]);
  try {
    const file = join(dir, "levelled.json");
    const first = new Levelled(file, 3);
    first.add(child.pid ?? 0);
    first.add(4_000_000);
    first.sample(0);
    const again = new Levelled(file, 3);
    again.sample(1000);
    const [row, ...more] = again.rows();
    assert.deepEqual(more, []);
    assert.equal(row?.command, "sleep 1000");
    assert.equal(row?.cpid, `3:${child.pid}`);
    assert.equal(row?.node, 3);
    child.kill("SIGKILL");
    await once(child, "exit");
    again.sample(2000);
    assert.deepEqual(again.rows(), []);
    writeFileSync(file, '[{"pid":');
    assert.deepEqual(new Levelled(file, 3).rows(), []);
  } finally {
    child.kill("SIGKILL");
    rmSync(dir, { recursive: true });
  }
});
