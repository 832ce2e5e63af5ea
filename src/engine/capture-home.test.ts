import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { toTeselaError } from "../base/mod.ts";
import { FileHashes } from "../image/mod.ts";
import { readChangingLayout } from "./capture-home.ts";
import { readNodeFacts } from "./node-facts.ts";

const skip = process.getuid?.() === 0 ? false : "looking at mapped files needs root";
const LOOKS = 400;

test("what is told of a process that becomes one program after the other is of one of them", { skip, timeout: 60_000 }, async () => {
  const { vdso } = readNodeFacts(1);
  const hashes = new FileHashes();
  const script = 'exec /bin/sh -c "$0" "$0"';
  const child = spawn("/bin/sh", ["-c", script, script], { stdio: "ignore" });
  try {
    await sleep(20);
    let whole = 0;
    for (let i = 0; i < LOOKS; i++) {
      try {
        assert.equal(readChangingLayout(child.pid ?? 0, hashes).vdso?.hash, vdso, `look ${i}`);
        whole++;
      } catch (e) {
        if (e instanceof assert.AssertionError) throw e;
        assert.equal(toTeselaError(e).code, "E_BUSY", String((e as Error).stack));
      }
      if (i % 20 === 0) await sleep(1);
    }
    assert.ok(whole > 0);
  } finally {
    child.kill("SIGKILL");
  }
});
