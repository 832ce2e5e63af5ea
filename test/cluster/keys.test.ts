/** The gossip key changes when nodes go, whoever says so, whatever ends in between, and whoever is away meanwhile. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { NodeRow } from "../../src/daemon/mod.ts";
import { cannot, startCluster, type TestCluster } from "./harness.ts";

const skip = await cannot();
/** Against hangs only. */
const GUARD_MS = 120_000;
const IDENTITY = "/var/lib/tesela/identity";
let cluster: TestCluster | null = null;
after(async () => cluster?.[Symbol.asyncDispose]());

const states = (c: TestCluster, host: number): Promise<string> =>
  c.tesela<NodeRow[]>(host, "nodes").then(
    (rows) => rows.map((r) => `${r.id}:${r.state}`).join(" "),
    (e: unknown) => (e as Error).message,
  );
const keyOf = (c: TestCluster, host: number): Promise<string> => c.sh(host, `cat ${IDENTITY}/gossip.key`);

async function see(c: TestCluster, hosts: readonly number[], wanted: string): Promise<void> {
  for (const start = performance.now(); ; await sleep(100)) {
    const seen = await Promise.all(hosts.map((h) => states(c, h)));
    if (seen.every((s) => s === wanted)) return;
    assert.ok(performance.now() - start < GUARD_MS, `hosts ${hosts} see ${JSON.stringify(seen)}, want '${wanted}'`);
  }
}
/** All of these have one key, which is none of the former ones. */
async function agree(c: TestCluster, hosts: readonly number[], former: readonly string[]): Promise<string> {
  for (const start = performance.now(); ; await sleep(100)) {
    const keys = await Promise.all(hosts.map((h) => keyOf(c, h)));
    const [first = ""] = keys;
    if (keys.every((k) => k === first) && !former.includes(first)) return first;
    assert.ok(performance.now() - start < GUARD_MS, `keys of hosts ${hosts}: ${JSON.stringify(keys.map((k) => k.slice(64)))}`);
  }
}

test("two nodes remove one each at once, one of them ends at that, and a third is cut off: one key at last", {
  skip,
  timeout: 400_000,
}, async () => {
  cluster = await startCluster({ n: 6 });
  const c = cluster;
  await see(c, [1, 2, 3, 4, 5, 6], "1:up 2:up 3:up 4:up 5:up 6:up");
  const ca = await c.sh(1, `cat ${IDENTITY}/ca.key`);
  await c.sh(2, `umask 077; cat >${IDENTITY}/ca.key`, { input: ca });
  const first = await keyOf(c, 3);

  await c.cut(3);
  await see(c, [1, 2], "1:up 2:up 3:down 4:up 5:up 6:up");
  await Promise.all([
    c.tesela(1, "node", "remove", "4", "--force").then(() => c.kill(1, "teselad", "SIGKILL")),
    c.tesela(2, "node", "remove", "5", "--force"),
  ]);
  await see(c, [1, 2, 6], "1:up 2:up 3:down 6:up");
  const second = await agree(c, [1, 2, 6], [first]);
  assert.match(second.split(" ")[2] ?? "", /^4\.\d+,5\.\d+$/, "made against both");
  assert.equal(await keyOf(c, 3), first);
  for (const out of [4, 5]) {
    await see(c, [out], `${out}:removed`);
    assert.notEqual(await keyOf(c, out), second);
  }

  await c.heal(3);
  await see(c, [1, 2, 3, 6], "1:up 2:up 3:up 6:up");
  assert.equal(await agree(c, [1, 2, 3, 6], [first]), second);
});

test("a node that is down meanwhile gets the key when it starts, and so does one with an old disk", {
  skip,
  timeout: 400_000,
}, async () => {
  assert.ok(cluster, "after the test before");
  const c = cluster;
  const old = await keyOf(c, 2);
  await c.kill(2, "teselad", "SIGTERM", { stay: true });
  await see(c, [1, 3], "1:up 2:down 3:up 6:up");
  await c.tesela(1, "node", "remove", "3", "--force");
  await see(c, [1], "1:up 2:down 6:up");
  const [one] = await Promise.all([keyOf(c, 1), see(c, [3], "3:removed")]);
  assert.notEqual(one, old);
  await c.start(2, "teselad");
  await see(c, [1, 2, 6], "1:up 2:up 6:up");
  assert.equal(await keyOf(c, 2), one);
  // A copy of an old disk.
  await c.kill(2, "teselad", "SIGTERM", { stay: true });
  await c.sh(2, `umask 077; cat >${IDENTITY}/gossip.key`, { input: `${old}\n` });
  await c.start(2, "teselad");
  await see(c, [1, 2, 6], "1:up 2:up 6:up");
  assert.equal(await agree(c, [1, 2], [old]), one);
});

test("a node that leaves has its processes come home first, and who stays changes the key", {
  skip,
  timeout: 400_000,
}, async () => {
  assert.ok(cluster, "after the tests before");
  const c = cluster;
  const old = await keyOf(c, 2);
  const spin = await c.spawn(1, ["awk", "BEGIN { while (1) i++ }"], { stdio: ["ignore", "pipe", "inherit"] });
  await sleep(200);
  await c.tesela(1, "migrate", String(spin.pid), "2");
  await assert.rejects(c.tesela(1, "leave"), { code: "E_REFUSED", message: /holds the cluster's CA key/ });
  // As one does who has seen to that.
  await c.sh(1, `rm ${IDENTITY}/ca.key`);
  await c.tesela(1, "leave");
  await see(c, [2, 6], "2:up 6:up");
  await agree(c, [2, 6], [old]);
  const ticks = (): number => Number(readFileSync(`/proc/${spin.outerPid}/stat`, "utf8").split(") ")[1]?.split(" ")[11]);
  const [since, before] = [performance.now(), ticks()];
  for (; ticks() === before; await sleep(50)) assert.ok(performance.now() - since < GUARD_MS, "it does not compute at home");
  process.kill(spin.outerPid, "SIGKILL");
  await spin.ended;
  // The last one that holds the CA's key says itself that it has left.
  await c.tesela(2, "leave", "--force");
  await see(c, [6], "6:up");
});
