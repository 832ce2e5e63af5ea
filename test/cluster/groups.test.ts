/** Processes that share memory, on a real cluster: they move together, by command, and only for who may move all of them. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { toTeselaError } from "../../src/base/mod.ts";
import { program } from "../programs/build.ts";
import { cannot, startCluster, type TestCluster } from "./harness.ts";
import { Talk } from "./talk.ts";

const skip = await cannot();
const asRoot = skip || (process.getuid?.() === 0 ? false : "programs of several users need root");
const NOBODY = 65534;
const CHILDREN = 3;
const POLL_MS = 20;
const PATIENCE_MS = 30_000;

let cluster: TestCluster;
before(async () => {
  if (skip === false) cluster = await startCluster({ n: 3 });
});
after(async () => await cluster?.[Symbol.asyncDispose]());

interface Row {
  readonly pid: number;
  readonly node: number;
  readonly command: string;
}
const rows = async (part: string): Promise<Row[]> => (await cluster.tesela<Row[]>(1, "ps")).filter((r) => r.command.includes(part));

async function childrenOf(pid: number, count: number): Promise<number[]> {
  for (let waited = 0; ; waited += POLL_MS) {
    const children = (await cluster.sh(1, `cat /proc/${pid}/task/*/children`)).split(/\s+/).filter(Boolean).map(Number);
    if (children.length === count) return children;
    assert.ok(waited < PATIENCE_MS, `${children.length} children`);
    await sleep(POLL_MS);
  }
}

test("a group goes where any of it is sent, and comes home with any of it", { skip }, async () => {
  await using talk = await Talk.start(cluster, [program("group"), String(CHILDREN), "3000"]);
  assert.equal(await talk.next(), "ready");
  const children = await childrenOf(talk.pid, CHILDREN);
  const all = [talk.pid, ...children].sort((a, b) => a - b);
  const [first = 0, second = 0] = children;
  for (const [pid, target] of [
    [talk.pid, "2"],
    [first, "3"],
    [second, "2"],
    [first, "home"],
    [second, "3"],
  ] as const) {
    const moved = await cluster.tesela<{ pid: number; with: number[] }>(1, "migrate", String(pid), target);
    // Now and then one has a child for a moment.
    const missing = (pids: readonly number[]): number[] => all.filter((p) => !pids.includes(p));
    assert.deepEqual(missing([moved.pid, ...moved.with]), []);
    const there = (await rows("group")).filter((r) => all.includes(r.pid));
    assert.deepEqual(missing(there.map((r) => r.pid)), []);
    assert.deepEqual([...new Set(there.map((r) => r.node))], [target === "home" ? 1 : Number(target)]);
  }
  const said = await cluster.exec(1, ["tesela", "migrate", String(first), "2"]);
  assert.match(said.stdout, new RegExp(`^${first}: node 3 -> node 2, .* with .*\\b${second}\\b`));
  assert.match(await talk.next(), /^done \d+ deaths \d+$/);
  assert.equal((await talk.ended).status, 0);
});

test("a group ends as it would at home when its node dies", { skip }, async () => {
  await using talk = await Talk.start(cluster, [program("group"), String(CHILDREN), "100000"]);
  assert.equal(await talk.next(), "ready");
  await childrenOf(talk.pid, CHILDREN);
  await cluster.tesela(1, "migrate", String(talk.pid), "3");
  await cluster.kill(3, "tesela-engine", "KILL");
  assert.equal((await talk.ended).signal, "SIGKILL");
  for (let waited = 0; (await rows("group")).length > 0; waited += POLL_MS) {
    assert.ok(waited < PATIENCE_MS, "none of it is left");
    await sleep(POLL_MS);
  }
});

test("nobody moves another user's process by sharing its memory", { skip: asRoot }, async () => {
  const script = [
    "import mmap, os, time",
    "m = mmap.mmap(-1, 4096)",
    "pid = os.fork()",
    `if pid == 0: os.setgid(${NOBODY}); os.setuid(${NOBODY})`,
    "else: print(pid, flush=True)",
    "time.sleep(1000)",
  ].join("\n");
  await using talk = await Talk.start(cluster, ["python3", "-c", script]);
  const child = await talk.next();
  while ((await cluster.sh(1, `stat -c %u /proc/${child}`)) !== String(NOBODY)) await sleep(POLL_MS);
  const asNobody = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"] as const;
  const refused = await cluster.exec(1, [...asNobody, "tesela", "migrate", "--json", child, "2"]);
  assert.equal(refused.status, 1);
  const { message, reasons } = JSON.parse(refused.stdout) as { message: string; reasons: string[] };
  assert.match(message, new RegExp(`process ${talk.pid} \\(python3\\)`));
  assert.ok(reasons.includes("other_user"), reasons.join(", "));
  // The superuser may move both.
  assert.deepEqual((await cluster.tesela<{ with: number[] }>(1, "migrate", child, "2")).with, [talk.pid]);
  await assert.rejects(cluster.tesela(1, "migrate", "999999", "2"), (e: unknown) => toTeselaError(e).code === "E_NOENT_PID");
  await cluster.sh(1, `kill ${child} ${talk.pid}`);
});
