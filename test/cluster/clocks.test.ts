/** Nodes that were booted at different times: programs that are moved between them see one clock. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chownSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { program } from "../programs/build.ts";
import { cannot, startCluster } from "./harness.ts";
import { listen, runMoved, SEED, troubles } from "./move.ts";

const skip = await cannot();
/** Home in the middle: hosts are ahead of it and behind it. */
const CLOCKS = [null, { monotonic: 5000, boot: 9000 }, { monotonic: -40, boot: 1000 }];
/** What a clock may show that home's does not: the error of a measurement on a machine that has other things to do. */
const JUMP_MS = 1000;

test("clocks that count from boot go on as if there were one machine", { skip }, async (t) => {
  await using cluster = await startCluster({ clocks: CLOCKS });
  const shown = await Promise.all([1, 2, 3].map((n) => cluster.sh(n, "cat /proc/uptime")));
  const [one = 0, two = 0, three = 0] = shown.map((s) => Number(s.split(" ")[0]));
  assert.ok(two - one > 8990 && three - one > 990, `uptimes of the hosts: ${shown.join(", ")}`);
  const said = listen(cluster);
  // More moves than this route has stops: both ways between all of them.
  const route = [2, 3, 2, 1, 3, 1];
  await cluster.sh(1, `cp ${program("clocks")} /tmp/clocks`);
  const done = await runMoved(cluster, `/tmp/clocks 30 5000 0 ${JUMP_MS}; exit $?`, { name: "clocks", route, seed: SEED });
  const about = `seed ${SEED}, ${done.moves.length} moves: ${done.stdout}${done.stderr}${done.refused.join("\n")}`;
  t.diagnostic(`${done.moves.length} moves, ${/drift.*/.exec(done.stdout)?.[0]}`);
  assert.equal(done.status, 0, about);
  assert.match(done.stdout, /round 30 ok\ndrift \d+ us\n$/, about);
  assert.deepEqual(done.refused, [], about);
  assert.ok(done.moves.length >= 3, about);
  for (const node of [1, 2, 3]) assert.deepEqual(troubles(said(node)), []);
});

test("a process in a time namespace of its own stays", { skip }, async () => {
  await using cluster = await startCluster({ n: 2 });
  const { pid, ended } = await cluster.spawn(1, ["unshare", "--time", "--monotonic", "77", "--fork", "sleep", "1000"]);
  const inner = await cluster.sh(1, `while ! pgrep -x -P ${pid} sleep; do sleep 0.01; done`);
  await assert.rejects(cluster.tesela(1, "migrate", inner, "2"), { code: "E_CANTMOVE", message: /time_namespace/ });
  await cluster.sh(1, `kill ${inner}`);
  await ended;
});

const UID = 12345;
test("clocks go on for ordinary users' clusters too", { skip: skip || (process.geteuid?.() === 0 ? false : "this is one") }, (t) => {
  const as = ["--reuid", String(UID), "--regid", String(UID), "--clear-groups"];
  const self = fileURLToPath(import.meta.url);
  if (spawnSync("setpriv", [...as, "test", "-r", self, "-a", "-x", process.execPath]).status !== 0) {
    t.skip("the package is in a directory that is root's alone");
    return;
  }
  program("clocks");
  const dir = mkdtempSync(join(tmpdir(), "tesela-user-"));
  try {
    chownSync(dir, UID, UID);
    const env = { PATH: process.env["PATH"], HOME: dir, TESELA_CLUSTERS: dir, LANG: "C.UTF-8" };
    const done = spawnSync("setpriv", [...as, process.execPath, self], { env, encoding: "utf8", timeout: 240_000 });
    assert.equal(done.status, 0, done.stdout + done.stderr);
    for (const line of done.stdout.match(/moves, drift.*|SKIP.*/g) ?? []) t.diagnostic(line);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
