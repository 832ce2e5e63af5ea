/** Load levelling on real hosts: jobs spread by themselves, and the owner of each node has the last word. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { writeProject } from "../../bench/project.ts";
import type { Controlled, NodeRow, ProcessRow, WhyMoved } from "../../src/daemon/mod.ts";
import { cannot, type Done, startCluster, type TestCluster } from "./harness.ts";

const skip = await cannot();
const JOBS = 12;
/** A few seconds each, alone on a core. */
const JOB = "scale=1200; x=0; for (i=0;i<30;i++) x+=4*a(1/(i+1)); x";
const PATIENCE_MS = 60_000;
/** A balancer that wanted to do something would have done it. */
const ROUNDS_MS = 5000;

let cluster: TestCluster;
before(async () => {
  if (!skip) cluster = await startCluster({ n: 3, pin: true, env: { TESELA_LEVEL: "on" } });
});
after(async () => cluster?.[Symbol.asyncDispose]());

async function json<T>(node: number, ...args: readonly string[]): Promise<T> {
  const done = await cluster.exec(node, ["tesela", ...args, "--json"]);
  assert.equal(done.status, 0, done.stderr);
  return JSON.parse(done.stdout) as T;
}
const rows = async (): Promise<ProcessRow[]> => (await json<ProcessRow[]>(1, "ps")).filter((r) => r.command.startsWith("bc"));

async function until<T>(what: string, look: () => Promise<T>, good: (seen: T) => boolean): Promise<T> {
  for (const start = performance.now(); ; await sleep(200)) {
    const seen = await look();
    if (good(seen)) return seen;
    assert.ok(performance.now() - start < PATIENCE_MS, `${what}: ${JSON.stringify(seen)}`);
  }
}

/** Jobs on node 1, under load levelling unless `plain`. */
function jobs(n: number, text = JOB): Promise<Done[]> {
  return Promise.all(
    Array.from({ length: n }, () => cluster.exec(1, ["tesela", "run", "bc", "-lq"], { input: `${text}\n`, timeoutMs: 300_000 })),
  );
}

test("jobs started on one node spread by themselves, and say why", { skip, timeout: 400_000 }, async () => {
  const [want] = await jobs(1);
  const all = jobs(JOBS);
  const spread = await until("on all nodes", rows, (r) => new Set(r.map(({ node }) => node)).size === 3);
  const moved = spread.find((r) => r.nmigs > 0);
  const why = await json<WhyMoved>(1, "why", String(moved?.pid));
  assert.ok(why.levelled);
  const decision = why.decisions.find((d) => d.from === 1 && d.to !== null);
  assert.equal(decision?.motive, "load", JSON.stringify(why));
  for (const done of await all) assert.deepEqual(done, want);
});

test("with levelling off nobody moves; on again, they do, but for a job that is locked", { skip, timeout: 400_000 }, async () => {
  await json(1, "loadlevel", "off", "--all");
  const plain = jobs(4);
  const locked = cluster.exec(1, ["tesela", "run", "-L", "bc", "-lq"], { input: `${JOB}\n`, timeoutMs: 300_000 });
  await until("all begun", rows, (r) => r.length === 5);
  await sleep(ROUNDS_MS);
  assert.deepEqual(new Set((await rows()).map((r) => r.node)), new Set([1]));
  await json(1, "loadlevel", "on", "--all");
  const seen = await until("one goes", rows, (r) => r.some(({ node }) => node !== 1));
  const kept = seen.filter((r) => r.lock);
  assert.deepEqual(
    kept.map((r) => r.node),
    [1],
  );
  for (const { status } of [...(await plain), await locked]) assert.equal(status, 0);
});

test("a node that expels its guests is empty, and takes none; one that brings its own home keeps them", {
  skip,
  timeout: 400_000,
}, async () => {
  const all = jobs(6);
  await until("somebody on node 2", rows, (r) => r.some(({ node }) => node === 2));
  const told = await json<Controlled>(1, "ctl", "expel", "--node", "2");
  assert.deepEqual([told.node, told.flags], [2, ["block"]]);
  assert.deepEqual(told.failed, []);
  assert.ok((await rows()).every(({ node }) => node !== 2));
  await sleep(ROUNDS_MS);
  assert.ok(
    (await rows()).every(({ node }) => node !== 2),
    "none has come since",
  );
  const there = await cluster.exec(1, ["tesela", "run", "-N", "2", "true"]);
  const closed = "tesela: node 2 takes no guests: 'block' is set there; tesela ctl noblock --node 2 takes that back\n";
  assert.deepEqual([there.status, there.stderr], [1, closed]);
  assert.equal((await cluster.exec(1, ["tesela", "run", "-F", "-N", "2", "true"])).status, 0);
  const [one] = await rows();
  const why = await cluster.exec(1, ["tesela", "migrate", "--why", "--json", String(one?.pid), "2"]);
  assert.deepEqual([why.status, (JSON.parse(why.stdout) as { reasons: string[] }).reasons], [1, ["blocked"]]);
  const brought = await json<Controlled>(1, "ctl", "bring");
  assert.deepEqual(brought.flags, ["lstay"]);
  assert.ok((await rows()).every(({ node }) => node === 1));
  await json(1, "ctl", "nolstay");
  await json(2, "ctl", "noblock");
  await until("node 2 takes them again", rows, (r) => r.length === 0 || r.some(({ node }) => node === 2));
  for (const { status } of await all) assert.equal(status, 0);
  const refused = await cluster.exec(1, ["tesela", "ctl", "dance"]);
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /'dance': want one of stay nostay/);
});

test("a make of many compilers uses other nodes as well, and builds the same", { skip, timeout: 600_000 }, async () => {
  const cwd = mkdtempSync(join(tmpdir(), "tesela-make-"));
  try {
    writeProject(cwd, { files: 16, functions: 120, flags: "-O2" });
    const build = async (...before: string[]): Promise<string> => {
      await cluster.output(1, ["make", "-s", "clean"], { cwd });
      const [file = "make", ...args] = [...before, "make", "-s", "-j6", "CC=gcc"];
      const done = await cluster.exec(1, [file, ...args], { cwd, timeoutMs: 300_000 });
      assert.deepEqual([done.status, done.stderr], [0, ""]);
      return await cluster.output(1, ["sh", "-c", "cat *.o program | sha256sum"], { cwd });
    };
    const want = await build();
    // The first one learns what a compiler takes.
    for (let i = 0; i < 2; i++) assert.equal(await build("tesela", "run"), want);
    const engine = await cluster.output(1, ["cat", "/var/log/tesela/tesela-engine.log"]);
    const away = new Set(engine.split("\n").flatMap((line) => (line.includes('"message":"moved"') ? [/"to":(\d+)/.exec(line)?.[1]] : [])));
    assert.ok(away.has("2") && away.has("3"));
    const habits = new Map(JSON.parse(await cluster.output(1, ["cat", "/var/lib/tesela/habits.json"])) as [string, { cpu: number }][]);
    const of = (name: string): number => [...habits].find(([path]) => path.endsWith(name))?.[1].cpu ?? Number.NaN;
    assert.ok(of("/cc1") > of("-as"), "a compiler is worth sending, an assembler is not");
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
});

test("an owner says how fast a node is, until that is taken back", { skip, timeout: 100_000 }, async () => {
  const speed = async (): Promise<string> => await cluster.output(1, ["tesela", "ctl", "getspeed", "2"]);
  assert.equal(await speed(), "10000\n");
  await json(1, "ctl", "setspeed", "5000", "--node", "2");
  await until("it is told", speed, (said) => said === "5000\n");
  assert.equal((await cluster.exec(1, ["tesela", "ctl", "setspeed", "fast"])).status, 2);
  assert.equal((await cluster.exec(1, ["tesela", "ctl", "setspeed", "0"])).status, 2);
  await json(1, "ctl", "nosetspeed", "--node", "2");
  await until("it is measured again", speed, (said) => said === "10000\n");
});

test("a host whose core another host's program uses knows it, though it sees neither", { skip, timeout: 200_000 }, async () => {
  const cores = availableParallelism();
  await using shared = await startCluster({ n: cores + 1, pin: true, env: { TESELA_RIVALS: "on" } });
  const spin = await shared.spawn(1, ["sh", "-c", "while :; do :; done"], { stdio: ["ignore", "ignore", "ignore"] });
  try {
    const look = async (): Promise<NodeRow[]> => JSON.parse(await shared.output(1, ["tesela", "nodes", "--json"])) as NodeRow[];
    // The last one has the first one's core.
    const rows = await until("it is told", look, (all) => all.some((n) => n.id === cores + 1 && (n.got ?? 1) < 0.7 && n.load > 0.5));
    assert.equal(rows.find((n) => n.id === cores + 1)?.cpus, 1, "the CPUs that it may use are told as before");
    const mate = await shared.spawn(cores + 1, ["sh", "-c", "while :; do :; done"], { stdio: ["ignore", "ignore", "ignore"] });
    // Now each of them has half, or less.
    await until("both know", look, (all) =>
      [1, cores + 1].every((id) => all.some((n) => n.id === id && (n.got ?? 1) < 0.7 && n.load > 1.5)),
    );
    process.kill(mate.outerPid, "SIGKILL");
    await mate.ended;
  } finally {
    process.kill(spin.outerPid, "SIGKILL");
    await spin.ended;
  }
});

test("asked for the best place, a process that is alone stays, and one of two goes", { skip, timeout: 200_000 }, async () => {
  await using two = await startCluster({ n: 2, pin: true });
  const spin = () => two.spawn(1, ["tesela", "run", "sh", "-c", "while :; do :; done"], { stdio: ["ignore", "ignore", "ignore"] });
  const jobs = [await spin()];
  try {
    // The question is a program, too, and counts where it is asked.
    const ask = async (on: number): Promise<number> =>
      (JSON.parse(await two.output(on, ["tesela", "migrate", `1:${jobs[0]?.pid}`, "balance", "--json"])) as { to: number }).to;
    const loads = async (): Promise<number[]> =>
      (JSON.parse(await two.output(1, ["tesela", "nodes", "--json"])) as NodeRow[]).map((n) => n.load);
    await until("it is told", loads, ([one = 0]) => one > 0.8);
    // Until then the start of the command is in the load as well, which leaves the program less than all of it.
    await until(
      "the one stays",
      () => ask(2),
      (to) => to === 1,
    );
    jobs.push(await spin());
    await until("both are told", loads, ([one = 0]) => one > 1.6);
    await until(
      "one of two goes",
      () => ask(1),
      (to) => to === 2,
    );
  } finally {
    for (const job of jobs) process.kill(job.outerPid, "SIGKILL");
    for (const job of jobs) await job.ended;
  }
});
