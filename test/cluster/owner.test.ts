/** Guests make room for the owner of a node, who starts work of his own there. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { NodeRow, ProcessRow, WhyMoved } from "../../src/daemon/mod.ts";
import { cannot, startCluster, type TestCluster } from "./harness.ts";

const skip = await cannot();
const JOB = "scale=1400; x=0; for (i=0;i<30;i++) x+=4*a(1/(i+1)); x";
const PATIENCE_MS = 60_000;
/** Guests that would come back would have done so. */
const ROUNDS_MS = 5000;

let cluster: TestCluster;
before(async () => {
  if (!skip) cluster = await startCluster({ n: 2, pin: true, env: { TESELA_LEVEL: "on" } });
});
after(async () => cluster?.[Symbol.asyncDispose]());

async function json<T>(node: number, ...args: readonly string[]): Promise<T> {
  const done = await cluster.exec(node, ["tesela", ...args, "--json"]);
  assert.equal(done.status, 0, done.stderr);
  return JSON.parse(done.stdout) as T;
}
const guests = async (): Promise<ProcessRow[]> => (await json<ProcessRow[]>(1, "ps")).filter((r) => r.home === 1 && r.node === 2);

async function until<T>(what: string, look: () => Promise<T>, good: (seen: T) => boolean): Promise<T> {
  for (const start = performance.now(); ; await sleep(500)) {
    const seen = await look();
    if (good(seen)) return seen;
    assert.ok(performance.now() - start < PATIENCE_MS, `${what}: ${JSON.stringify(seen)}`);
  }
}

test("the owner of a node who starts work there gets it back, and later it takes guests again", { skip, timeout: 400_000 }, async () => {
  const input = { input: `${JOB}\n`, timeoutMs: 300_000 };
  const jobs = Promise.all(Array.from({ length: 4 }, () => cluster.exec(1, ["tesela", "run", "bc", "-lq"], input)));
  const [guest] = await until("guests on node 2", guests, (g) => g.length > 0);
  const owner = cluster.exec(2, ["timeout", "25", "sh", "-c", "while :; do :; done"], { timeoutMs: 60_000 });
  await until("node 2 is its owner's", guests, (g) => g.length === 0);
  const { decisions } = await json<WhyMoved>(2, "why", guest?.cpid ?? "");
  const left = decisions.find((d) => d.from === 2 && d.to === 1);
  assert.equal(left?.motive, "owner", JSON.stringify(decisions));
  await sleep(ROUNDS_MS);
  assert.deepEqual(await guests(), [], JSON.stringify(await json<NodeRow[]>(1, "nodes")));
  assert.equal((await owner).status, 124);
  await until("node 2 takes guests again", guests, (g) => g.length > 0);
  for (const { status } of await jobs) assert.equal(status, 0);
});
