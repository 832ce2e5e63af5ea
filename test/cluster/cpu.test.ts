/** Nodes with unlike processors: what a program may be using decides where it can go. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { cannot, startCluster, type TestCluster } from "./harness.ts";

const skip = await cannot();
const PATIENCE_MS = 30_000;

/** Lets a host look as if its processor had fewer features, to services that are started anew for that. */
async function takeAway(cluster: TestCluster, node: number, pattern: string): Promise<void> {
  await cluster.sh(node, `sed -E 's/ (${pattern})\\b//g' /proc/cpuinfo >/tmp/cpuinfo && mount --bind /tmp/cpuinfo /proc/cpuinfo`);
  for (const service of ["tesela-engine", "teselad"]) {
    const old = await cluster.kill(node, service, "TERM");
    await cluster.sh(node, `until read -r p </run/services/${service}.pid && [ "$p" != ${old} ]; do sleep 0.05; done 2>/dev/null`);
  }
}

interface Row {
  readonly id: number;
  readonly state: string;
  readonly cpu?: number;
  readonly flags: readonly string[];
}

/** Whether a node says of itself that it takes guests. */
const saysOpen = async (cluster: TestCluster, node: number): Promise<boolean> =>
  (await cluster.tesela<Row[]>(node, "nodes").catch(() => [])).some((r) => r.id === node && r.flags.length === 0);

/** Until node 1 knows of as many kinds of processors. */
async function known(cluster: TestCluster, kinds: number): Promise<void> {
  for (let waited = 0; ; waited += 100) {
    const rows = await cluster.tesela<Row[]>(1, "nodes");
    const good = rows.every((r) => r.state === "up" && r.flags.length === 0) && new Set(rows.map((r) => r.cpu)).size === kinds;
    // What is known here of one that has just begun may be of its life before.
    if (good && (await Promise.all(rows.map((r) => saysOpen(cluster, r.id)))).every(Boolean)) return;
    assert.ok(waited < PATIENCE_MS, JSON.stringify(rows));
    await sleep(100);
  }
}

test("a node that lacks features takes programs that do without them", { skip }, async (t) => {
  await using cluster = await startCluster({ n: 3 });
  const flags = (await cluster.sh(1, "grep -m1 ^flags /proc/cpuinfo")).split(/\s+/);
  if (!flags.includes("avx2") || !flags.includes("popcnt")) {
    t.skip("this processor has no AVX2 that could be missing elsewhere");
    return;
  }
  // One lacks what glibc chooses by, the other what only programs themselves look for.
  await takeAway(cluster, 2, "avx2|avx512[a-z0-9_]*|vaes");
  await takeAway(cluster, 3, "aes|clflush");
  await known(cluster, 2);

  const plain = await cluster.spawn(1, ["tesela", "run", "sleep", "1000"]);
  // Until then it is the command that starts it.
  await cluster.sh(1, `until [ "$(cat /proc/${plain.pid}/comm)" = sleep ]; do sleep 0.01; done`);
  await assert.rejects(cluster.tesela(1, "migrate", String(plain.pid), "2"), { code: "E_CANTMOVE", message: /node 2 lacks .*avx2/ });
  await assert.rejects(cluster.tesela(1, "migrate", String(plain.pid), "3"), { code: "E_CANTMOVE", message: /node 3 lacks .*\baes\b/ });

  const show = 'echo "$TESELA_PORTABLE $GLIBC_TUNABLES"';
  const env = { GLIBC_TUNABLES: "glibc.malloc.check=0:glibc.cpu.hwcaps=-ERMS" };
  assert.match(
    await cluster.sh(1, `tesela run --portable sh -c '${show}'`, { env }),
    /^[0-9a-f]+ glibc\.malloc\.check=0:glibc\.cpu\.hwcaps=-ERMS,(-\w+,)*-AVX2\b/,
  );
  assert.equal(await cluster.sh(1, `tesela run sh -c '${show}'`), " ");

  // A child of a portable program is one, too.
  const portable = await cluster.spawn(1, ["tesela", "run", "--portable", "sh", "-c", "sleep 1000; exit"]);
  const child = await cluster.sh(1, `while ! pgrep -x -P ${portable.pid} sleep; do sleep 0.01; done`);
  for (const node of ["2", "3", "2", "home"]) {
    const moved = await cluster.tesela<{ to: number }>(1, "migrate", child, node);
    assert.equal(moved.to, node === "home" ? 1 : Number(node));
  }
  await cluster.sh(1, `kill ${plain.pid} ${child}`);
  await Promise.all([plain.ended, portable.ended]);
});
