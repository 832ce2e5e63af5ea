import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { clusterDown, clusterNames } from "../../src/testbed/mod.ts";
import { cannot } from "./harness.ts";

/** The demo as people start it, only shorter. */

const TESELA = fileURLToPath(new URL("../../bin/tesela", import.meta.url));
const NOBODY = 65534;
const GUARD_MS = 240_000;
const skip = await cannot();
const name = (tail: string): string => `test-${process.pid}-${tail}`;
const ours = (): string[] => clusterNames().filter((n) => n.startsWith(`test-${process.pid}-`));

after(async () => {
  for (const left of ours()) await clusterDown(left);
});

/** Every result is right, moves were made and shown, and nothing is left. */
function judge(done: { status: number | null; stdout: string; stderr: string }): void {
  assert.equal(done.status, 0, `${done.stdout}\n${done.stderr}`);
  assert.match(done.stdout, /^All 6 results equal those of the unmoved programs\.$/m);
  const moves = done.stdout.match(/h1\$ tesela migrate \d+ \S+ +# .*: h\d -> h\d, .*, stood still .* ms$/gm) ?? [];
  const told = /^(\d+) moves between three hosts; a typical one stopped its program for .* ms, the longest for .* ms\.$/m.exec(
    done.stdout,
  )?.[1];
  assert.ok(moves.length >= 3, `${moves.length} moves`);
  assert.equal(Number(told), moves.length);
  assert.doesNotMatch(done.stdout, /\u001b/, "no terminal, no escapes");
  assert.equal(done.stderr, "");
}

test("it moves six programs, compares, and leaves nothing", { skip }, () => {
  judge(spawnSync(TESELA, ["demo", "--seconds", "20", "--name", name("demo")], { encoding: "utf8", timeout: GUARD_MS }));
  assert.deepEqual(ours(), []);
});

const ordinary = skip || (process.getuid?.() === 0 ? false : "this user is an ordinary one already");
test("an ordinary user has it in user namespaces", { skip: ordinary }, () => {
  const home = mkdtempSync(join(tmpdir(), "tesela-"));
  spawnSync("chown", [String(NOBODY), home]);
  try {
    const env = { PATH: process.env["PATH"], HOME: home, TESELA_CLUSTERS: join(home, "clusters") };
    const user = { uid: NOBODY, gid: NOBODY, cwd: "/", env };
    const can = spawnSync(TESELA, ["cluster", "up", "-n", "1", "--name", "try"], { ...user, encoding: "utf8", timeout: GUARD_MS });
    if (can.status !== 0) {
      // The kernel does not allow it: then the demo has to say so, in one line.
      assert.match(can.stderr, /local clusters do not work as an ordinary user/);
      const demo = spawnSync(TESELA, ["demo", "--seconds", "20"], { ...user, encoding: "utf8", timeout: GUARD_MS });
      assert.deepEqual([demo.status, demo.stdout], [1, ""]);
      assert.match(demo.stderr, /^tesela: the demo cannot run here: [^\n]+\n$/);
      return;
    }
    assert.equal(spawnSync(TESELA, ["cluster", "down", "--name", "try"], user).status, 0);
    judge(spawnSync(TESELA, ["demo", "--seconds", "20"], { ...user, encoding: "utf8", timeout: GUARD_MS }));
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});

test("^C in mid-work ends all of it", { skip }, async () => {
  const child = spawn(TESELA, ["demo", "--seconds", "60", "--name", name("stopped")], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  for await (const part of child.stdout) {
    text += String(part);
    if (text.includes("1. 6 programs run on h1")) child.kill("SIGINT");
  }
  if (child.exitCode === null) await once(child, "exit");
  assert.equal(child.exitCode, 130, text);
  assert.deepEqual(ours(), []);
});
