/** Machines that are switched on, or have another address: the others find them by themselves. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { NodeRow } from "../../src/daemon/mod.ts";
import { cannot, startCluster, type TestCluster } from "./harness.ts";

const skip = await cannot();
/** What a user waits at most for a node that is switched on, or moves. */
const SOON_MS = 5000;
const START_MS = 30_000;
let cluster: TestCluster | null = null;
after(async () => cluster?.[Symbol.asyncDispose]());

async function rows(c: TestCluster, host: number): Promise<NodeRow[]> {
  return await c.tesela<NodeRow[]>(host, "nodes").catch(() => []);
}
/** How long it took until all three hosts saw all three nodes, host 3 at that address. */
async function all(c: TestCluster, address: string, ms: number): Promise<number> {
  const start = performance.now();
  for (;;) {
    const seen = await Promise.all([1, 2, 3].map((h) => rows(c, h)));
    const took = performance.now() - start;
    const good = seen.every((list) => list.length === 3 && list.every((r) => r.state === "up" && (r.id !== 3 || r.address === address)));
    if (good) return took;
    const text = seen.map((list) => list.map((r) => `${r.id}@${r.address}:${r.state}`).join(" "));
    assert.ok(took < ms, `after ${Math.round(took)} ms: ${JSON.stringify(text)}`);
    await sleep(50);
  }
}
const move = (from: string, to: string): string =>
  `ip addr del ${from}/24 dev eth0; ip addr add ${to}/24 dev eth0; ip route replace 224.0.0.0/4 dev eth0`;

test("a node that knows nobody and that nobody can reach is found within seconds of its start", { skip }, async (t) => {
  cluster ??= await startCluster({ n: 3 });
  const c = cluster;
  for (const service of ["teselad", "tesela-engine"]) await c.kill(3, service, "SIGTERM", { stay: true });
  await c.sh(3, `${move("10.88.0.3", "10.88.0.77")}; cd /var/lib/tesela && rm membership.json && echo '[]' >peers.json`);
  const start = performance.now();
  await c.start(3, "tesela-engine");
  await c.start(3, "teselad");
  const end = start + START_MS;
  while ((await rows(c, 3)).length === 0) {
    assert.ok(performance.now() < end, "teselad does not start");
    await sleep(20);
  }
  await all(c, "10.88.0.77", SOON_MS);
  t.diagnostic(`after ${((performance.now() - start) / 1000).toFixed(1)} s, the start of its daemons included`);
  assert.match(c.log(1, "teselad"), /a node has another address/);
  assert.match(c.log(3, "teselad"), /a node was found/);
});

test("a node whose address changes while it works is found again, and so are its processes", { skip }, async () => {
  cluster ??= await startCluster({ n: 3 });
  const c = cluster;
  await c.sh(3, move("10.88.0.77", "10.88.0.78"));
  await all(c, "10.88.0.78", SOON_MS);
  const worker = await c.spawn(1, ["awk", "BEGIN { while (i < 4e8) i++; print i }"], { stdio: ["ignore", "pipe", "inherit"] });
  await sleep(200);
  await c.tesela(1, "migrate", String(worker.pid), "3");
  await c.tesela(1, "migrate", String(worker.pid), "home");
  process.kill(worker.outerPid, "SIGKILL");
  await worker.ended;
  const { heard } = await c.tesela<{ heard: { id: number }[] }>(1, "discover");
  assert.ok(heard.some((h) => h.id === 3));
});
