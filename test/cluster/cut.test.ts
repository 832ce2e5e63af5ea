/** The link between a program and its home is cut, again and again: nobody notices. Cut for too long, both ends clean up. */
import assert from "node:assert/strict";
import { after, before, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../programs/build.ts";
import { type Cut, waysToCut } from "./cutting.ts";
import { cannot, startCluster, type TestCluster } from "./harness.ts";
import {
  engine,
  findDescendant,
  listen,
  migrate,
  type Outcome,
  randomFrom,
  type Running,
  runMoved,
  runUnmoved,
  SEED,
  start,
} from "./move.ts";
import { Talk } from "./talk.ts";

const skip = await cannot();
/** A connection is taken for dead after this long without a word, so that short cuts too are more than TCP rides out. */
const SILENCE_MS = 2000;
let cluster: TestCluster;
let ways: ReadonlyMap<string, Cut>;
before(async () => {
  if (skip !== false) return;
  cluster = await startCluster({ n: 3, env: { TESELA_DEAD_MS: String(SILENCE_MS) } });
  for (const name of ["pipes", "memfill"] as const) await cluster.sh(1, `cp ${program(name)} /tmp/${name}`);
});
after(async () => await cluster?.[Symbol.asyncDispose]());

async function prepare(t: TestContext): Promise<void> {
  const found = await waysToCut(cluster);
  ways = found.ways;
  for (const lack of found.lacking) t.diagnostic(lack);
}

interface LinkState {
  readonly node: number;
  readonly state: "up" | "cut";
}
const linkTo = async (node: number): Promise<string | undefined> =>
  (await engine<LinkState[]>(cluster, 1, "GET", "/links")).find((l) => l.node === node)?.state;

async function until(what: string, met: () => Promise<boolean> | boolean, guardMs = 60_000): Promise<void> {
  for (const end = performance.now() + guardMs; !(await met()); await sleep(20)) {
    if (performance.now() > end) throw new Error(`it does not come to pass that ${what}`);
  }
}
const guestsOn = async (node: number): Promise<number> => (await engine<{ guests: number }>(cluster, node, "GET", "/status")).guests;

/** The programs finish in peace after so much trouble. */
const TROUBLE_MS = 20_000;

/** Cuts the links of these nodes in all ways, for 0.1 to 3 s, until told to stop or for long enough. */
function trouble(nodes: readonly number[], random: () => number): { stop(): Promise<ReadonlyMap<string, number>> } {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  const made = new Map<string, number>();
  let over = false;
  const end = performance.now() + TROUBLE_MS;
  const run = async (): Promise<ReadonlyMap<string, number>> => {
    while (!over && performance.now() < end) {
      const [name, cut] = pick([...ways]);
      await cut(cluster, pick(nodes), 100 + Math.floor(random() * (random() < 0.3 ? 2900 : 900)));
      made.set(name, (made.get(name) ?? 0) + 1);
      await sleep(50 + random() * 800);
    }
    return made;
  };
  const done = run();
  return {
    stop() {
      over = true;
      return done;
    },
  };
}

/** A program that waits for a line in a FIFO and then makes calls without a pause, and what of it is moved. */
interface Subject {
  readonly script: string;
  readonly name: string;
  readonly nth?: number;
}
const wait = (fifo: string): string => `rm -f ${fifo}; mkfifo ${fifo}`;
const COUNTER = `awk 'BEGIN { getline < "/tmp/go.counter"; for (i = 0; i < 12000; i++) { print i > "/tmp/counts"; fflush("/tmp/counts") } }'`;
const SHELL = `read -r go < /tmp/go.children; i=0; while [ $i -lt 300 ]; do i=$((i+1)); (echo child $i; exit $((i % 50))); echo "$i $?"; done`;
const SUBJECTS: Readonly<Record<string, Subject>> = {
  counter: { script: `rm -f /tmp/counts; ${COUNTER}; echo $?; sha256sum < /tmp/counts; wc -l < /tmp/counts`, name: "awk" },
  pingPong: { script: "read -r go < /tmp/go.pingPong; exec /tmp/pipes pipe 400 2", name: "bash" },
  bc: { script: `(read -r go < /tmp/go.bc; echo 'for (i = 1; i < 200; i++) { scale = i; a(1) * 4 }') | bc -l; echo $?`, name: "bc" },
  children: { script: `bash --norc -c '${SHELL}'; echo $?`, name: "bash", nth: 1 },
};
const script = (key: string): string => `${wait(`/tmp/go.${key}`)}; ${SUBJECTS[key]?.script}`;
const go = (key: string): Promise<unknown> => cluster.sh(1, `until [ -p /tmp/go.${key} ]; do sleep 0.01; done; echo > /tmp/go.${key}`);

async function unmoved(key: string): Promise<Outcome> {
  const [outcome] = await Promise.all([runUnmoved(cluster, script(key)), go(key)]);
  return outcome;
}

/** Starts it and moves it to node 2. */
async function away(key: string): Promise<Running> {
  const { name, nth } = SUBJECTS[key] as Subject;
  await cluster.sh(1, `rm -f /tmp/go.${key}`);
  const running = await start(cluster, script(key), { guardMs: 300_000 });
  await cluster.sh(1, `until [ -p /tmp/go.${key} ]; do sleep 0.01; done`);
  await until(`${key} is there`, () => findDescendant(running.outerPid, name, nth) !== null);
  await migrate(cluster, findDescendant(running.outerPid, name, nth)?.pid ?? 0, 2);
  return running;
}

test("programs whose link home is cut again and again print each line once", { skip, timeout: 600_000 }, async (t) => {
  await prepare(t);
  t.diagnostic(`seed ${SEED}`);
  const keys = Object.keys(SUBJECTS);
  const said = listen(cluster);
  const expected = new Map<string, Outcome>();
  for (const key of keys) expected.set(key, await unmoved(key));
  const running = new Map<string, Running>();
  for (const key of keys) running.set(key, await away(key));
  const begun = performance.now();
  const cuts = trouble([2, 2, 1], randomFrom(SEED));
  try {
    await Promise.all(keys.map(go));
    for (const key of keys) {
      assert.deepEqual(await running.get(key)?.end, expected.get(key), key);
      t.diagnostic(`${key} ended after ${Math.round(performance.now() - begun)} ms`);
    }
  } finally {
    t.diagnostic(`cuts: ${[...(await cuts.stop())].map(([name, n]) => `${n} ${name}`).join(", ")}`);
  }
  t.diagnostic(`resumed ${said(1).split('"a link is resumed"').length - 1} times`);
  await until("no guest is left", async () => (await guestsOn(2)) === 0);
});

test("moves that meet a cut fail, and leave the process whole", { skip, timeout: 600_000 }, async (t) => {
  await prepare(t);
  t.diagnostic(`seed ${SEED}`);
  const command = "/tmp/memfill 48 300 5 10";
  const expected = await runUnmoved(cluster, command);
  const cuts = trouble([2, 3], randomFrom(SEED + 1));
  try {
    const { moves, refused, ...outcome } = await runMoved(cluster, command, { name: "memfill", seed: SEED, gap: [20, 200] });
    t.diagnostic(`${moves.length} moves, ${refused.length} failed: ${JSON.stringify(refused.slice(0, 3))}`);
    assert.deepEqual(outcome, expected);
  } finally {
    await cuts.stop();
  }
});

/** Repeats its input, and says so when it gets a signal. */
const LISTENER = [
  "bash",
  "--norc",
  "-c",
  'trap "echo signal" USR1; echo ready; while :; do read -r line; [ $? -gt 128 ] || echo "$line"; done',
] as const;

test("signals and input of a process out of reach arrive when the link is back; SIGKILL ends it at once", { skip }, async () => {
  await using talk = await Talk.start(cluster, LISTENER);
  assert.equal(await talk.next(), "ready");
  await migrate(cluster, talk.pid, 2);
  await cluster.cut(2);
  process.kill(talk.outerPid, "SIGUSR1");
  talk.say("word");
  await until("the link is known to be cut", async () => (await linkTo(2)) === "cut");
  assert.match((await cluster.exec(1, ["tesela", "ps"])).stdout, / 2 \(cut\) /);
  assert.deepEqual(talk.lines, ["ready"]);
  await cluster.heal(2);
  assert.deepEqual([await talk.next(), await talk.next()].sort(), ["signal", "word"]);
  await until("the link is up", async () => (await linkTo(2)) === "up");
  await cluster.cut(2);
  process.kill(talk.outerPid, "SIGKILL");
  assert.equal((await talk.ended).signal, "SIGKILL");
  // Not by the limit, that is.
  assert.doesNotMatch(cluster.log(1, "tesela-engine"), new RegExp(`"a process lost its user area[^\\n]*"pid":${talk.pid},`));
  await cluster.heal(2);
  await until("its guest is ended too", async () => (await guestsOn(2)) === 0);
});

test("a home whose engine dies and begins anew is not waited for", { skip }, async () => {
  await using talk = await Talk.start(cluster, LISTENER);
  await talk.next();
  await migrate(cluster, talk.pid, 2);
  const said = listen(cluster);
  await cluster.kill(1, "tesela-engine", "KILL");
  await talk.ended;
  await until("its guest is ended", async () => (await guestsOn(2)) === 0, 25_000);
  assert.match(said(2), /node 1 \(h1\) has begun anew/);
  await until("home works again", () =>
    linkTo(2).then(
      (state) => state === "up",
      () => false,
    ),
  );
});

test("beyond the limit the process ends with a clear message, and nothing of it remains on the host", { skip }, async () => {
  await using short = await startCluster({ n: 2, env: { TESELA_DEAD_MS: "3000", TESELA_RESUME_MS: "2500" } });
  await using talk = await Talk.start(short, LISTENER);
  await talk.next();
  await migrate(short, talk.pid, 2);
  await short.cut(2);
  assert.equal((await talk.ended).signal, "SIGKILL");
  const lost = `"message":"a process lost its user area and was killed","pid":${talk.pid},"reason":"the link to node 2 was lost: [^"]*it did not come back within 2.5 s"`;
  await until("home says so", () => new RegExp(lost).test(short.log(1, "tesela-engine")));
  const guests = async (): Promise<number> => (await engine<{ guests: number }>(short, 2, "GET", "/status")).guests;
  await until("its guest is ended", async () => (await guests()) === 0);
  assert.match(short.log(2, "tesela-engine"), /"a guest lost its home and was ended".*it did not come back within 2.5 s/);
  await short.heal(2);
  await using next = await Talk.start(short, LISTENER);
  await next.next();
  await until("the nodes work together again", () =>
    migrate(short, next.pid, 2).then(
      () => true,
      () => false,
    ),
  );
  next.say("again");
  assert.equal(await next.next(), "again");
});
