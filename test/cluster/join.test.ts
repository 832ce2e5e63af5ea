/** Machines that join, leave and are removed: three hosts whose identities are wiped first. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { NodeRow, ProcessRow } from "../../src/daemon/mod.ts";
import { cannot, type HostProcess, startCluster, type TestCluster } from "./harness.ts";

const skip = await cannot();
/** Against hangs only. */
const GUARD_MS = 120_000;
/** Everybody knows of who came or went within this. */
const SOON_MS = 5000;
/** A machine that joins has work after five seconds at most; a busy machine that runs them all gets some more. */
const WORK_MS = 15_000;
let cluster: TestCluster | null = null;
after(async () => cluster?.[Symbol.asyncDispose]());

const WIPE = `
  for s in teselad tesela-engine; do touch /run/services/$s.down; done
  for s in teselad tesela-engine; do read -r pid </run/services/$s.pid && kill $pid; done
  while [ -e /run/services/teselad.pid ] || [ -e /run/services/tesela-engine.pid ]; do sleep 0.05; done
  rm -rf /var/lib/tesela/*`;

/** Three hosts that are no nodes, with their services at rest. */
async function bare(): Promise<TestCluster> {
  cluster ??= await startCluster({ n: 3 });
  const c = cluster;
  await Promise.all([1, 2, 3].map((h) => c.sh(h, WIPE)));
  return c;
}
async function begin(c: TestCluster, ...hosts: number[]): Promise<void> {
  for (const h of hosts) for (const service of ["tesela-engine", "teselad"]) await c.start(h, service);
}

async function states(c: TestCluster, host: number): Promise<string> {
  try {
    const rows = await c.tesela<NodeRow[]>(host, "nodes");
    return rows.map((r) => `${r.id}:${r.name}:${r.state}`).join(" ");
  } catch (e) {
    return (e as Error).message;
  }
}
async function see(c: TestCluster, hosts: readonly number[], wanted: string, ms = GUARD_MS): Promise<void> {
  for (const start = performance.now(); ; await sleep(50)) {
    const seen = await Promise.all(hosts.map((h) => states(c, h)));
    if (seen.every((s) => s === wanted)) return;
    assert.ok(performance.now() - start < ms, `after ${ms} ms hosts ${hosts} see ${JSON.stringify(seen)}, want '${wanted}'`);
  }
}
const token = async (c: TestCluster, ...options: string[]): Promise<string> =>
  (await c.tesela<{ token: string }>(1, "token", ...options)).token;
const join = (c: TestCluster, host: number, word: string, ...options: string[]): Promise<{ id: number; name: string }> =>
  c.tesela(host, "join", "--token", word, ...options);
const worker = (c: TestCluster, host: number): Promise<HostProcess> =>
  c.spawn(host, ["awk", "BEGIN { while (1) i++ }"], { stdio: ["ignore", "pipe", "inherit"] });
/** Clock ticks that it has used where it is at home: utime of proc_pid_stat(5). */
const cpuOf = (p: HostProcess): number => Number(readFileSync(`/proc/${p.outerPid}/stat`, "utf8").split(") ")[1]?.split(" ")[11]);
async function computesAtHome(p: HostProcess): Promise<void> {
  const [start, before] = [performance.now(), cpuOf(p)];
  for (; cpuOf(p) === before; await sleep(50)) assert.ok(performance.now() - start < GUARD_MS, "it does not compute at home");
}
const fails = (code: string, pattern: RegExp) => (e: unknown) => {
  const { code: got, message } = e as { code?: string; message: string };
  assert.equal(got, code, message);
  assert.match(message, pattern);
  return true;
};

test("init, token, join, leave, remove: whoever belongs is known to all, whoever does not is out", { skip }, async () => {
  const c = await bare();
  await c.tesela(1, "init", "--name", "lab", "--address", "10.88.0.1");
  await begin(c, 1);
  await see(c, [1], "1:h1:up");
  const first = await token(c, "--ttl", "10m");
  assert.deepEqual(await join(c, 2, first), { id: 2, name: "h2", address: "10.88.0.2", port: 4660, cluster: "lab" });
  await begin(c, 2);
  await see(c, [1, 2], "1:h1:up 2:h2:up");

  // Tokens that are not good for this.
  await assert.rejects(join(c, 3, first), fails("E_REFUSED", /no token is open there|used already/));
  const short = await token(c, "--ttl", "1s");
  await sleep(2100);
  await assert.rejects(join(c, 3, short), fails("E_REFUSED", /no token is open there|expired/));
  const open = await token(c, "--id", "30");
  await assert.rejects(join(c, 3, first), fails("E_REFUSED", /did not accept the token: it was used already/));
  await assert.rejects(join(c, 3, short), fails("E_REFUSED", /did not accept the token: it expired/));
  await assert.rejects(c.tesela(3, "join", "10.88.0.2", "--token", open), fails("E_REFUSED", /no token is open/));
  assert.match(c.log(1, "teselad"), /was refused.*was used already/);
  assert.match(c.log(1, "teselad"), /was refused.*expired at/);
  await assert.rejects(c.tesela(2, "token"), fails("E_MISSING", /does not hold the cluster's CA key/));

  assert.equal((await join(c, 3, open)).id, 30);
  await begin(c, 3);
  await see(c, [1, 2, 3], "1:h1:up 2:h2:up 30:h3:up");
  // Programs move to and from the new node.
  const [theirs, guest] = [await worker(c, 3), await worker(c, 2)];
  await sleep(200);
  await c.tesela(3, "migrate", String(theirs.pid), "2");
  await c.tesela(2, "migrate", String(guest.pid), "30");

  await assert.rejects(c.tesela(2, "node", "remove", "30"), fails("E_MISSING", /does not hold the cluster's CA key/));
  const keyOf = (h: number): Promise<string> => c.sh(h, "cat /var/lib/tesela/identity/gossip.key");
  const old = await keyOf(1);
  await c.tesela(1, "node", "remove", "h3");
  await see(c, [1, 2], "1:h1:up 2:h2:up", SOON_MS);
  // It is told, and alone. Before that its guests went home and its own came back; they run on.
  await see(c, [3], "30:h3:removed", SOON_MS);
  assert.match(c.log(3, "teselad"), /this node was removed from cluster 'lab'/);
  const { findings } = JSON.parse((await c.exec(3, ["tesela", "doctor", "--json"])).stdout) as {
    findings: { check: string; found: string }[];
  };
  assert.match(findings.find((f) => f.check === "membership")?.found ?? "", /which it was removed from/);
  for (const p of [theirs, guest]) {
    await computesAtHome(p);
    process.kill(p.outerPid, "SIGKILL");
    await p.ended;
  }
  // Those who stay have another key, and it has the old one.
  const [fresh, second, kept] = [await keyOf(1), await keyOf(2), await keyOf(3)];
  assert.deepEqual([fresh === second, fresh === old, kept === old], [true, false, true]);
  assert.match(c.log(2, "teselad"), /the gossip key changes/);
  for (const h of [1, 2, 3]) for (const service of ["teselad", "tesela-engine"]) await c.kill(h, service, "SIGTERM");
  await see(c, [1, 2], "1:h1:up 2:h2:up");
  await see(c, [3], "30:h3:removed");

  // Its number is its own: another machine gets it only by name.
  await c.sh(3, WIPE);
  assert.equal((await join(c, 3, await token(c), "--node-name", "other")).id, 3);
  await begin(c, 3);
  await see(c, [1, 2, 3], "1:h1:up 2:h2:up 3:other:up");
  assert.deepEqual(await c.tesela(3, "leave"), { id: 3, name: "other", cluster: "lab", told: true });
  await see(c, [1, 2], "1:h1:up 2:h2:up", SOON_MS);
  assert.equal(await c.sh(3, "ls /var/lib/tesela"), "");
  // And back, as itself.
  assert.deepEqual((await join(c, 3, await token(c), "--id", "3")).name, "other");
  await see(c, [1, 2, 3], "1:h1:up 2:h2:up 3:other:up");
});

test("a machine that joins while jobs run gets some of them as soon as it is switched on", { skip, timeout: 400_000 }, async (t) => {
  const c = await bare();
  await c.tesela(1, "init", "--name", "growing", "--address", "10.88.0.1");
  await begin(c, 1);
  await see(c, [1], "1:h1:up");
  await join(c, 2, await token(c));
  await begin(c, 2);
  await see(c, [1, 2], "1:h1:up 2:h2:up");
  for (const h of [1, 2]) await c.tesela(h, "loadlevel", "on");
  const awk = ["awk", "BEGIN { while (1) i++ }"] as const;
  const all = await Promise.all(
    Array.from({ length: 8 }, () => c.spawn(1, ["tesela", "run", ...awk], { stdio: ["ignore", "ignore", "inherit"] })),
  );
  const on = async (node: number): Promise<number> => (await c.tesela<ProcessRow[]>(1, "ps")).filter((r) => r.node === node).length;
  const has = async (node: number, ms = GUARD_MS): Promise<void> => {
    for (const end = performance.now() + ms; (await on(node)) === 0; await sleep(100)) assert.ok(performance.now() < end, c.log(1));
  };
  await has(2);
  await join(c, 3, await token(c));
  const start = performance.now();
  await begin(c, 3);
  await has(3, WORK_MS);
  t.diagnostic(`after ${((performance.now() - start) / 1000).toFixed(1)} s, the start of its daemons included`);
  for (const p of all) process.kill(p.outerPid, "SIGKILL");
  await Promise.all(all.map((p) => p.ended));
});

test("a node that is removed by force is cut off at once: processes of others are lost there, its own here", {
  skip,
  timeout: 400_000,
}, async (t) => {
  const c = await bare();
  await c.tesela(1, "init", "--name", "force", "--address", "10.88.0.1");
  await begin(c, 1);
  await see(c, [1], "1:h1:up");
  for (const h of [2, 3]) {
    await join(c, h, await token(c));
    await begin(c, h);
  }
  await see(c, [1, 2, 3], "1:h1:up 2:h2:up 3:h3:up");
  const spin = (host: number) => c.spawn(host, ["awk", "BEGIN { while (1) i++ }"], { stdio: ["ignore", "pipe", "inherit"] });
  const [theirs, ours] = [await spin(3), await spin(2)];
  await sleep(300);
  await c.tesela(3, "migrate", String(theirs.pid), "2");
  await c.tesela(2, "migrate", String(ours.pid), "3");
  const guests = async (host: number): Promise<number> =>
    (await c.tesela<NodeRow[]>(host, "nodes")).find((r) => r.id === host)?.guests ?? -1;
  const start = performance.now();
  await c.tesela(1, "node", "remove", "3", "--force");
  await ours.ended;
  while ((await guests(2)) !== 0) await sleep(50);
  const took = performance.now() - start;
  t.diagnostic(`after ${Math.round(took)} ms`);
  assert.ok(took < SOON_MS, `${Math.round(took)} ms`);
  assert.match(c.log(2, "tesela-engine"), /a connection is cut.*removed from the cluster/);
  await theirs.ended;
});

test("certificates that end soon are renewed while the nodes work, and the nodes outlive them", { skip }, async () => {
  const c = await bare();
  const seconds = 45;
  await c.tesela(1, "init", "--name", "brief", "--address", "10.88.0.1", "--days", String(seconds / 86_400));
  await begin(c, 1);
  await see(c, [1], "1:h1:up");
  for (const h of [2, 3]) {
    await join(c, h, await token(c));
    await begin(c, h);
  }
  const all = "1:h1:up 2:h2:up 3:h3:up";
  await see(c, [1, 2, 3], all);
  const end = performance.now() + seconds * 1000 * 1.5;
  const was = await c.sh(2, "cat /var/lib/tesela/identity/node.pem");
  while (performance.now() < end) await sleep(1000);
  await see(c, [1, 2, 3], all, SOON_MS);
  assert.notEqual(await c.sh(2, "cat /var/lib/tesela/identity/node.pem"), was);
  for (const h of [1, 2, 3]) assert.match(c.log(h, "teselad"), /this node's certificate is renewed/);
  // A fresh connection between engines needs certificates that are valid now.
  const moving = await worker(c, 2);
  await sleep(200);
  await c.tesela(2, "migrate", String(moving.pid), "3");
  await c.tesela(2, "migrate", String(moving.pid), "home");
  process.kill(moving.outerPid, "SIGKILL");
  await moving.ended;
});
