/** Memory ushering on real hosts: a program that outgrows its node is somewhere else before that is full. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { MiB } from "../../src/base/mod.ts";
import type { WhyMoved } from "../../src/daemon/mod.ts";
import { program } from "../programs/build.ts";
import { cannot, startCluster, type TestCluster } from "./harness.ts";

const skip = await cannot();
const HOST_MIB = 1024;
const HELD_MIB = 250;
const GROWN_MIB = 800;
const EMPTY_MIB = 850;
const PAGES_A_MIB = 256;
/** So long it is there after it has grown: until somebody has asked why it moved. */
const HELD_S = 5;
/** Slower than a sample can miss, and as fast as a node of this size has a chance. MiB a second. */
const RATES = [40, 200, 480];

let cluster: TestCluster;
before(async () => {
  if (!skip) cluster = await startCluster({ n: 2, pin: true, memory: HOST_MIB * MiB, env: { TESELA_LEVEL: "on" } });
});
after(async () => cluster?.[Symbol.asyncDispose]());

/** What the last program had on node 2 is free, and node 1 has heard of that: news are a second old, and the fastest fills a node in one and a half. */
async function knowsOfRoom(): Promise<void> {
  for (let looks = 0; ; looks++) {
    const rows = JSON.parse((await cluster.exec(1, ["tesela", "nodes", "--json"])).stdout) as { id: number; memFree: number }[];
    if ((rows.find((r) => r.id === 2)?.memFree ?? 0) > EMPTY_MIB * MiB) return;
    assert.ok(looks < 60, "node 2 is empty again");
    await sleep(500);
  }
}

test("a program that outgrows its node moves before memory runs out, and nobody is killed", { skip, timeout: 600_000 }, async () => {
  // Not under load levelling: it stays, and there is no room for both.
  const holder = await cluster.spawn(1, [program("grows"), String(HELD_MIB), "1000", "3600"], { stdio: ["ignore", "ignore", "inherit"] });
  await sleep(3000);
  for (const rate of RATES) {
    await knowsOfRoom();
    // A program of its own each time: one whose habit is known from the time before may begin on node 2.
    const path = `/tmp/grows-${rate}`;
    await cluster.sh(1, `cp ${program("grows")} ${path}`);
    const grown = cluster.exec(1, ["tesela", "run", path, String(GROWN_MIB), String(rate), String(HELD_S)], {
      timeoutMs: 300_000,
    });
    let why: WhyMoved["decisions"] = [];
    let ended = false;
    void grown.then(() => {
      ended = true;
    });
    while (!ended) {
      await sleep(500);
      const rows = JSON.parse((await cluster.exec(1, ["tesela", "ps", "--json"])).stdout) as { pid: number; command: string }[];
      const row = rows.find((r) => r.command.includes("grows"));
      const said = row && (await cluster.exec(1, ["tesela", "why", String(row.pid), "--json"]));
      // Only the newest are told.
      if (said?.status === 0) why = [...why, ...(JSON.parse(said.stdout) as WhyMoved).decisions];
    }
    assert.deepEqual(
      await grown,
      { status: 0, signal: null, stdout: `grown\n${GROWN_MIB * PAGES_A_MIB} pages\n`, stderr: "" },
      `${rate} MiB/s`,
    );
    assert.ok(
      why.some((d) => d.motive === "memory" && d.from === 1 && d.to === 2),
      `${rate} MiB/s: ${JSON.stringify(why)}`,
    );
  }
  assert.deepEqual([holder.child.exitCode, holder.child.signalCode], [null, null], "the one that stayed is alive");
  process.kill(holder.outerPid, "SIGKILL");
  assert.equal((await holder.ended).signal, "SIGKILL");
});
