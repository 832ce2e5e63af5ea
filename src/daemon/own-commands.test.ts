/** Commands of Tesela are told from all else that runs. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { readProcess } from "../load/mod.ts";
import { isOwnCommand } from "./own-commands.ts";

const MAIN = join(import.meta.dirname, "..", "cli", "main.ts");
const GUARD_MS = 10_000;

/** Whether a program is taken for one as soon as it has begun: it is stopped before it can end. */
async function seen(file: string, args: string[]): Promise<boolean> {
  const child = spawn(file, args, { stdio: "ignore" });
  const { pid = 0 } = child;
  try {
    for (const start = performance.now(); performance.now() - start < GUARD_MS; await sleep(1)) {
      const stat = readProcess(pid);
      if (stat === null || stat.state === "Z") return false;
      if (isOwnCommand(pid, stat)) return true;
    }
    return false;
  } finally {
    child.kill("SIGKILL");
  }
}

test("a command of Tesela is one, Node with another program and other programs are none", async () => {
  assert.equal(await seen(process.execPath, [MAIN, "version"]), true);
  assert.equal(await seen(process.execPath, ["-e", "setTimeout(() => {}, 300)"]), false);
  assert.equal(await seen("/bin/sh", ["-c", `sleep 0.2; : ${MAIN}`]), false);
});

test("what has used CPU time for long is work, whosever", () => {
  assert.equal(isOwnCommand(process.pid, { threads: 10, cpuMs: 5000 }), false);
  assert.equal(isOwnCommand(0x7fff_ffff, { threads: 10, cpuMs: 5 }), false, "there is none");
});
