import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";

const module = new URL("./priority.ts", import.meta.url).pathname;

/** What a process in a session of its own, or not, says of how it and a child of it are scheduled, and of its session before. */
function scheduled(own: boolean): Record<string, string> {
  // Nothing is said of who is in no group: nobody above it has begun a session (kernel/sched/autogroup.c).
  const code = `
    import { readFileSync } from "node:fs";
    import { getPriority } from "node:os";
    import { execFileSync } from "node:child_process";
    const { answerSoon } = await import(${JSON.stringify(module)});
    const weight = () => {
      try { return readFileSync("/proc/self/autogroup", "utf8").trim().split(" ").at(-1) } catch { return "none" }
    };
    const before = weight();
    answerSoon();
    const child = execFileSync("cut", ["-d", " ", "-f19", "/proc/self/stat"], { encoding: "utf8" }).trim();
    console.log(JSON.stringify({ nice: String(getPriority()), child, before, group: weight() }));`;
  const argv = ["--input-type=module", "-e", code];
  const done = own
    ? spawnSync("setsid", ["--wait", process.execPath, ...argv], { encoding: "utf8" })
    : spawnSync(process.execPath, argv, { encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
  return JSON.parse(done.stdout) as Record<string, string>;
}

test("what answers others is let in at once, by itself and by its session; its children are not", () => {
  const root = process.getuid?.() === 0;
  const { nice, child, group } = scheduled(true);
  assert.equal(nice, root ? "-10" : "0");
  assert.equal(child, "0");
  if (existsSync("/proc/self/autogroup")) assert.equal(group, root ? "-15" : "0");
});

test("a session with others in it is not favoured", () => {
  const { before, group } = scheduled(false);
  assert.equal(group, before);
});
