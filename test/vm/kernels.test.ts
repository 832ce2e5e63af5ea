/** A node that runs another kernel than the others, in an emulated machine: a program goes there and comes back. */
import assert from "node:assert/strict";
import { release } from "node:os";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { cannot, startCluster, type TestCluster } from "../cluster/harness.ts";
import { program } from "../programs/build.ts";
import { fetchKernel } from "./kernel.ts";
import { Machine } from "./machine.ts";

const skip = await cannot();
const VM = 2;
const MEMBER_MS = 300_000;
const POLL_MS = 500;
const MOVES = 4;
/** An emulated machine is slow to answer what is quick otherwise. */
const ATTEMPTS = 20;
const RETRY_MS = 2000;

async function member(cluster: TestCluster): Promise<void> {
  for (let waited = 0; ; waited += POLL_MS) {
    const nodes = await cluster.tesela<{ id: number; state: string }[]>(1, "nodes");
    if (nodes.find((n) => n.id === VM)?.state === "up") return;
    assert.ok(waited < MEMBER_MS, `the machine is no member: ${JSON.stringify(nodes)}`);
    await sleep(POLL_MS);
  }
}

/** Waits until a program has said so many rounds more. */
async function rounds(said: () => string, more: number): Promise<void> {
  const count = (): number => said().match(/^round/gm)?.length ?? 0;
  const want = count() + more;
  while (count() < want) await sleep(POLL_MS);
}

async function move(migrate: (to: string) => Promise<unknown>, to: string): Promise<void> {
  for (let left = ATTEMPTS; ; left--) {
    try {
      await migrate(to);
      return;
    } catch (e) {
      const { code, message } = e as { code?: string; message: string };
      if (code === "E_THERE") return;
      assert.ok(left > 0 && code !== "E_CANTMOVE", message);
      await sleep(RETRY_MS);
    }
  }
}

/** All rounds, one after the other, and nothing else. */
function assertRounds(said: string): void {
  const n = said.match(/^round/gm)?.length ?? 0;
  assert.equal(said, `ready\n${Array.from({ length: n }, (_, i) => `round ${i + 1} ok\n`).join("")}`);
}

test("a program of this kernel runs on the other, and comes back", { skip, timeout: 1_200_000 }, async (t) => {
  await using cluster = await startCluster({ n: 2 });
  await using vm = await Machine.start(cluster, VM, fetchKernel(), [program("vdso")]);
  const there = await vm.sh("uname -r");
  assert.notEqual(there, release());
  await member(cluster);
  t.diagnostic(`kernels ${release()} and ${there}`);
  const endless = ["1000000", "0", "0", "0", "5"];

  await cluster.sh(1, `cp ${program("vdso")} /tmp/vdso`);
  const ours = await cluster.spawn(1, ["tesela", "run", "--portable", "/tmp/vdso", ...endless]);
  let said = "";
  for (const stream of [ours.child.stdout, ours.child.stderr]) {
    stream?.on("data", (part: Buffer) => {
      said += part.toString();
    });
  }
  await rounds(() => said, 1);
  const pid = String(ours.pid);
  for (let i = 0; i < MOVES; i++) {
    await move((to) => cluster.tesela(1, "migrate", pid, to), i % 2 === 0 ? String(VM) : "home");
    await rounds(() => said, 1);
  }
  await cluster.sh(1, `kill ${pid}`);
  assert.equal((await ours.ended).signal, "SIGTERM");
  assertRounds(said);
});
