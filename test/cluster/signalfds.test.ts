/** Signals that are read through descriptors: the program says what it says at home, however it takes them, on three nodes. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { program } from "../programs/build.ts";
import { cannot, startCluster, type TestCluster } from "./harness.ts";
import { listen, runMovedOften, SEED, troubles } from "./move.ts";

const skip = await cannot();
let cluster: TestCluster;
before(async () => {
  if (skip !== false) return;
  cluster = await startCluster({ n: 3 });
  await cluster.sh(1, `cp ${program("signalfds")} /tmp/signalfds`);
});
after(async () => await cluster?.[Symbol.asyncDispose]());

for (const [mode, rounds, title] of [
  ["loop", 150, "an event loop of children, values and termination"],
  ["mixed", 25, "beside handlers, sigwaitinfo, ppoll and sigsuspend"],
  ["threads", 40, "by threads, of their own and of the process"],
  ["passed", 15, "which another process has passed on"],
] as const) {
  test(`signals read through descriptors: ${title}`, { skip }, async (t) => {
    const quiet = listen(cluster);
    const script = `/tmp/signalfds ${mode} ${rounds}; echo status=$?`;
    const runs = await runMovedOften(cluster, script, 2, (run) => ({ name: "signalfds", seed: SEED + run, gap: [10, 120] }));
    t.diagnostic(`seed ${SEED}: ${runs.map((have) => have.moves.length).join(" + ")} moves`);
    for (const have of runs) {
      assert.equal(have.stderr, "");
      assert.equal(have.stdout.split("\n").length, rounds + 2, have.stdout);
      assert.match(have.stdout, /status=0\n$/);
      assert.deepEqual(
        have.refused.filter((r) => r.startsWith("E_CANTMOVE")),
        [],
      );
    }
    assert.deepEqual(
      [1, 2, 3].flatMap((n) => troubles(quiet(n))),
      [],
    );
  });
}
