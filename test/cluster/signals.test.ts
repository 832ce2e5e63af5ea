/** Signals reach a process that is away, whoever sends them, and how it ends is told truly at home. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../programs/build.ts";
import { cannot, startCluster, type TestCluster } from "./harness.ts";
import { listen, migrate, randomFrom, runMovedOften, runUnmoved, SEED, troubles, whereIs } from "./move.ts";
import { play, randomSession, Sender } from "./signals-script.ts";
import { processState, Talk } from "./talk.ts";

const skip = await cannot();
let cluster: TestCluster;
before(async () => {
  if (skip !== false) return;
  cluster = await startCluster({ n: 3 });
  for (const name of ["sigs", "sigs-self", "sigs-count", "sigs-script", "sigs-send", "segv", "fpe", "abort"] as const)
    await cluster.sh(1, `cp ${program(name)} /tmp/${name}`);
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
    const [want, runs] = await Promise.all([
      runUnmoved(cluster, whole),
      runMovedOften(cluster, whole, 2, (run) => ({ name, seed: SEED + run, gap: [30, 150] })),
    ]);
    t.diagnostic(`seed ${SEED}: ${runs.map((have) => have.moves.length).join(" + ")} moves`);
    for (const have of runs) assert.equal(have.stdout, want.stdout);
  });
}

const REAL_TIME = [34, 35, 40, 63, 64] as const;
const STANDARD = [1, 10, 12, 14, 23, 28] as const;
/** Bursts of signals, some longer than the moves between them are apart. */
const BURSTS = 40;
const MOVES = 2;
/** Hang guard: a move waits for a burst to be over. */
const MOST_BURSTS = 200;
const LONGEST_BURST = 30;

test("storms of real-time signals: none is lost, each number's come in order, with what they say", { skip }, async (t) => {
  const random = randomFrom(SEED);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const quiet = listen(cluster);
  await using counter = await Talk.start(cluster, ["/tmp/sigs-count", "120"]);
  await counter.until(/^ready/);
  await using sender = await Sender.start(cluster);
  let done = false;
  let moves = 0;
  // What it says at its end tells more than that it could not be moved any more.
  void counter.ended.then(() => {
    done = true;
  });
  const moving = (async () => {
    while (!done) {
      const at = await whereIs(cluster, counter.pid);
      await migrate(cluster, counter.pid, pick([1, 2, 3].filter((n) => n !== at))).then(
        () => moves++,
        (e: unknown) => assert.match(processState(counter.outerPid), /[XZ]/, String(e)),
      );
      await sleep(30 * random());
    }
  })();
  const sent = new Map<number, number>();
  try {
    for (let burst = 0; (burst < BURSTS || (moves < MOVES && burst < MOST_BURSTS)) && !done; burst++) {
      for (let n = Math.ceil(random() * LONGEST_BURST); n > 0 && !done; n--) {
        const signal = pick(REAL_TIME);
        const value = sent.get(signal) ?? 0;
        if (await sender.send("queue", counter.pid, signal, value)) sent.set(signal, value + 1);
        if (random() < 0.1) await sender.send(pick(["kill", "thread"] as const), counter.pid, pick(STANDARD));
      }
      await sleep(60 * random());
    }
  } finally {
    done = true;
    await moving;
  }
  await sender.send("kill", counter.pid, 15).catch(() => undefined);
  const { status, lines } = await counter.end();
  t.diagnostic(`seed ${SEED}: ${moves} moves, ${[...sent.values()].reduce((a, b) => a + b, 0)} signals`);
  const counts = new Map(
    lines.map((l) => l.split(" ")).flatMap(([word, n, count]) => (word === "count" ? [[Number(n), Number(count)]] : [])),
  );
  assert.equal(lines.at(-1), "sums ok", `${status}: ${lines.slice(-3).join(" | ")} ${counter.stderr}`);
  for (const [signal, count] of sent) assert.equal(counts.get(signal), count, `signal ${signal}`);
  assert(moves >= MOVES, `only ${moves} moves`);
  assert.deepEqual(
    [1, 2, 3].flatMap((n) => troubles(quiet(n))),
    [],
  );
});

for (const [i, length] of [300, 300, 300].entries()) {
  test(`session ${i + 1} of signals, masks, waits and moves says what it says unmoved`, { skip }, async (t) => {
    const seed = SEED + i;
    const steps = randomSession(seed, length);
    await using sender = await Sender.start(cluster);
    const want = await play(cluster, sender, steps, false);
    const have = await play(cluster, sender, steps, true);
    t.diagnostic(`seed ${seed}: ${steps.length} steps`);
    assert.deepEqual(have, want);
    // The same where what it blocks waits at home.
    assert.deepEqual(await play(cluster, sender, steps, true, "signalfd"), want);
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
    // Its host is told of it by then, and may not have got to that.
    await cluster.sh(2, "while cat /proc/[0-9]*/stat 2>/dev/null | grep -q '(tesela-guest) R'; do sleep 0.02; done");
    const used = (): Promise<string> =>
      cluster.sh(2, "sleep 0.1; cat /proc/[0-9]*/stat | grep '(tesela-guest)' | cut -d' ' -f14 | sort -n | tail -1");
    const stopped = await used();
    assert.equal(await used(), stopped, "it computes though it is stopped");
    await assert.rejects(migrate(cluster, pid, 3), /stopped/);
    // The engine hears of it a moment after kill(1) has returned: until then its deputy is held.
    await cluster.sh(1, `kill -CONT ${pid}; until grep -q '^State:.S' /proc/${pid}/status; do sleep 0.02; done`);
    if (what === "computing") while ((await used()) === stopped);
    await migrate(cluster, pid, 3);
    await cluster.sh(1, `kill -KILL ${pid}`);
    await shell.ended;
  });
}
