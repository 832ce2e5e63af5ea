import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { clusterDown, clusterNames } from "../../src/testbed/mod.ts";
import { cannot, type Done, startCluster } from "./harness.ts";

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

/** Lines were printed, programs moved by themselves, and every result is right. */
function judge(done: { status: number | null; stdout: string; stderr: string }): void {
  const { stdout } = done;
  assert.equal(done.status, 0, `${stdout}\n${done.stderr}`);
  const lines = stdout.match(/^ +\d+: #* +\|\d+: +\d+ recs\/sec {2}h1 +\d+ {2}h2 +\d+ {2}h3 +\d+$/gm) ?? [];
  assert.ok(lines.length >= 8, stdout);
  const [before = "", after = ""] = stdout.split(/^ +load levelling is switched on .*$/m);
  assert.doesNotMatch(before, /recs\/sec {2}h1 +\d+ {2}h2 +([1-9]\d*|0 {2}h3 +[1-9])/, "nobody moves before that");
  assert.match(after, /recs\/sec/);
  assert.match(stdout, /^\d+ records\/s before, \d+ after: [\d.]+ x\.$/m);
  const told = /^(\d+) of 9 programs moved by themselves, (\d+) moves in all; at the end h1 had \d+, h2 had \d+, h3 had \d+\.$/m.exec(
    stdout,
  );
  assert.ok(Number(told?.[1]) >= 1, stdout);
  assert.match(stdout, /^All [1-9]\d* results of 9 programs equal those without Tesela\.$/m);
  assert.doesNotMatch(stdout, /\u001b/, "no terminal, no escapes");
  assert.equal(done.stderr, "");
}

test("programs spread by themselves, results are compared, and nothing is left", { skip }, () => {
  judge(spawnSync(TESELA, ["demo", "--seconds", "24", "--name", name("demo")], { encoding: "utf8", timeout: GUARD_MS }));
  assert.deepEqual(ours(), []);
});

test("moves: six programs are moved by command, results are compared, and nothing is left", { skip }, () => {
  const args = ["demo", "moves", "--seconds", "30", "--name", name("moves")];
  const { status, stdout, stderr } = spawnSync(TESELA, args, { encoding: "utf8", timeout: GUARD_MS });
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  assert.match(stdout, /^All 6 results equal those of the unmoved programs\.$/m);
  const moves = stdout.match(/h1\$ tesela migrate \d+ \S+ +# .*: h\d -> h\d, .*, stood still .* ms$/gm) ?? [];
  const told = /^(\d+) moves between three hosts; a typical one stopped its program for .* ms, the longest for .* ms\.$/m.exec(stdout)?.[1];
  assert.ok(moves.length >= 3, `${moves.length} moves`);
  assert.equal(Number(told), moves.length);
  assert.doesNotMatch(stdout, /\u001b/, "no terminal, no escapes");
  assert.equal(stderr, "");
  assert.deepEqual(ours(), []);
});

test("proclb on the node of a cluster: children of a file, levelling off and on, and none is left", { skip }, async () => {
  await using cluster = await startCluster({ n: 2, pin: true });
  const proclb = (...args: string[]): Promise<Done> => cluster.exec(1, ["tesela", "demo", "proclb", ...args], { timeoutMs: GUARD_MS });
  const children = ["--children", "4", "--seconds"];
  const done = await proclb("-m", "1800", ...children, "10", "--on", "2", "/etc/passwd");
  assert.deepEqual([done.status, done.stderr], [0, ""], done.stdout);
  assert.equal((done.stdout.match(/^ +\d+: #* +\|1800: +\d+ recs\/sec$/gm) ?? []).length, 10);
  assert.match(done.stdout, /^[1-4] of 4 programs moved by themselves, \d+ moves in all; at the end h1 had \d, h2 had \d\.$/m);
  assert.match(done.stdout, /^All [1-9]\d* results of 4 programs equal those without Tesela\.$/m);

  const script = `tesela demo proclb ${children.join(" ")} 600 --on 500 >/tmp/said & p=$!
until grep -q recs/sec /tmp/said; do sleep 0.2; done; kill -TERM $p; wait $p; echo $?`;
  assert.equal(await cluster.output(1, ["sh", "-c", script], { timeoutMs: GUARD_MS }), "143\n");
  assert.equal(await cluster.output(1, ["sh", "-c", "ls -d /tmp/tesela-proclb-* 2>/dev/null; pgrep -x awk; echo"]), "\n");
  const level = JSON.parse(await cluster.output(1, ["tesela", "loadlevel", "on", "--all", "--json"])) as unknown[];
  assert.equal(level.length, 2);

  const refused = await proclb("--children", "2", "/nowhere/at/all");
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /^tesela: \/nowhere\/at\/all: .*no such file.*\n$/);
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
      const demo = spawnSync(TESELA, ["demo", "--seconds", "24"], { ...user, encoding: "utf8", timeout: GUARD_MS });
      assert.deepEqual([demo.status, demo.stdout], [1, ""]);
      assert.match(demo.stderr, /^tesela: the demo cannot run here: [^\n]+\n$/);
      return;
    }
    assert.equal(spawnSync(TESELA, ["cluster", "down", "--name", "try"], user).status, 0);
    judge(spawnSync(TESELA, ["demo", "--seconds", "24"], { ...user, encoding: "utf8", timeout: GUARD_MS }));
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});

test("^C in mid-work ends all of it", { skip }, async () => {
  const child = spawn(TESELA, ["demo", "--seconds", "60", "--name", name("stopped")], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  for await (const part of child.stdout) {
    const before = text.includes("recs/sec");
    text += String(part);
    // Once: a second ^C does not wait for anything.
    if (!before && text.includes("recs/sec")) child.kill("SIGINT");
  }
  if (child.exitCode === null) await once(child, "exit");
  assert.equal(child.exitCode, 130, text);
  assert.deepEqual(ours(), []);
});
