/** Signals reach a process that is away, whoever sends them, and how it ends is told truly at home. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { program } from "../programs/build.ts";
import { cannot, startCluster, type TestCluster } from "./harness.ts";
import { migrate, runMoved, runUnmoved, SEED } from "./move.ts";

const skip = await cannot();
let cluster: TestCluster;
before(async () => {
  if (skip !== false) return;
  cluster = await startCluster({ n: 3 });
  for (const name of ["sigs", "sigs-self", "segv", "fpe", "abort"] as const) await cluster.sh(1, `cp ${program(name)} /tmp/${name}`);
});
after(async () => await cluster?.[Symbol.asyncDispose]());

/** What a program says of signals that it sends itself, has timers or children send, waits for, blocks, and loops over. */
for (const [title, name, script] of [
  ["to itself", "sigs-self", "/tmp/sigs-self all 12"],
  ["a fault that is caught, left by siglongjmp", "segv", "/tmp/segv recover 1500"],
  ["a fault that is caught on an alternate stack", "segv", "/tmp/segv altstack 1500"],
  ["a fault that dies", "segv", "/tmp/segv die 1200"],
  ["a division that dies", "fpe", "/tmp/fpe die 1200"],
  ["a division that is caught", "fpe", "/tmp/fpe catch 1200"],
  ["abort", "abort", "/tmp/abort abort 1200"],
  ["an exit status", "abort", "/tmp/abort exit 1200 77"],
] as const) {
  test(`signals, ${title}: moved, it does what it does unmoved`, { skip }, async (t) => {
    const whole = `ulimit -c 0; ${script}; echo status=$?`;
    const [want, have] = await Promise.all([runUnmoved(cluster, whole), runMoved(cluster, whole, { name, seed: SEED, gap: [30, 150] })]);
    t.diagnostic(`seed ${SEED}: ${have.moves.length} moves`);
    assert.equal(have.stdout, want.stdout);
    assert(have.moves.length >= 2, `only ${have.moves.length} moves`);
  });
}

/** A program that is away, on node 2 and then on node 3, while it computes and while it waits in a call at home. */
const PLACES = [
  ["computing", "mawk 'BEGIN { while (1) x++ }'", "mawk"],
  ["waiting", "sleep 1000", "sleep"],
] as const;

for (const [what, command, name] of PLACES) {
  for (const [signal, status] of [
    ["TERM", 143],
    ["KILL", 137],
    ["INT", 130],
    ["ALRM", 142],
    ["USR1", 138],
    ["SEGV", 139],
  ] as const) {
    test(`kill -${signal} ends it while it is ${what} away, and the shell knows`, { skip }, async () => {
      const shell = await cluster.spawn(1, ["bash", "-c", `ulimit -c 0; ${command}; echo status=$?`]);
      let out = "";
      shell.child.stdout?.on("data", (b: Buffer) => {
        out += b.toString();
      });
      const pid = Number(await cluster.sh(1, `until pgrep -x -P ${shell.pid} ${name}; do sleep 0.02; done`));
      await migrate(cluster, pid, 2);
      await migrate(cluster, pid, 3);
      const closed = once(shell.child, "close");
      await cluster.sh(1, `kill -${signal} ${pid}`);
      await closed;
      assert.equal(out, `status=${status}\n`);
    });
  }

  test(`kill -STOP and -CONT stop and continue it while it is ${what} away`, { skip }, async () => {
    const shell = await cluster.spawn(1, ["bash", "-c", `${command}; echo status=$?`]);
    const pid = Number(await cluster.sh(1, `until pgrep -x -P ${shell.pid} ${name}; do sleep 0.02; done`));
    await migrate(cluster, pid, 2);
    await cluster.sh(1, `kill -STOP ${pid}; until grep -q '^State:.[tT]' /proc/${pid}/status; do sleep 0.02; done`);
    const used = (): Promise<string> =>
      cluster.sh(2, "sleep 0.1; cat /proc/[0-9]*/stat | grep '(tesela-guest)' | cut -d' ' -f14 | sort -n | tail -1");
    const stopped = await used();
    assert.equal(await used(), stopped, "it computes though it is stopped");
    await assert.rejects(migrate(cluster, pid, 3), /stopped/);
    await cluster.sh(1, `kill -CONT ${pid}`);
    if (what === "computing") while ((await used()) === stopped);
    await migrate(cluster, pid, 3);
    await cluster.sh(1, `kill -KILL ${pid}`);
    await shell.ended;
  });
}
