/** What is said of processes as they are started, and of where they may go, is held to on real hosts. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { TeselaError } from "../../src/base/mod.ts";
import type { DaemonStatus, Masked, Migrated, NodeRow, ProcessRow, WhyMoved } from "../../src/daemon/mod.ts";
import { cannot, type HostProcess, startCluster, type TestCluster } from "./harness.ts";

const skip = await cannot();
const PATIENCE_MS = 60_000;
/** A balancer that wanted to do something would have done it. */
const ROUNDS_MS = 6000;
const SPIN = ["sh", "-c", "while :; do :; done"] as const;

let cluster: TestCluster;
before(async () => {
  if (!skip) cluster = await startCluster({ n: 3, pin: true, env: { TESELA_LEVEL: "on" } });
});
after(async () => cluster?.[Symbol.asyncDispose]());

const ps = async (): Promise<ProcessRow[]> => await cluster.tesela<ProcessRow[]>(1, "ps");
const rowOf = async (p: HostProcess): Promise<ProcessRow> => {
  const row = (await ps()).find((r) => r.cpid === `1:${p.pid}`);
  return row ?? assert.fail(`process ${p.pid} is not shown`);
};
const refused = (code: string, text: RegExp) => (e: unknown) => e instanceof TeselaError && e.code === code && text.test(e.message);

async function until<T>(what: string, look: () => Promise<T>, good: (seen: T) => boolean): Promise<T> {
  for (const start = performance.now(); ; await sleep(200)) {
    const seen = await look();
    if (good(seen)) return seen;
    assert.ok(performance.now() - start < PATIENCE_MS, `${what}: ${JSON.stringify(seen)}`);
  }
}

/** Programs of node 1, which end with the test. */
class Jobs implements AsyncDisposable {
  readonly all: HostProcess[] = [];
  async start(n: number, ...command: readonly [string, ...string[]]): Promise<HostProcess[]> {
    const begun = await Promise.all(Array.from({ length: n }, () => cluster.spawn(1, [...command, ...SPIN])));
    this.all.push(...begun);
    // The launcher asks teselad before it becomes the program.
    const pids = new Set(begun.map((p) => p.pid));
    const spin = SPIN.join(" ");
    const shown = async (): Promise<number> => (await ps()).filter((r) => r.home === 1 && pids.has(r.pid) && r.command === spin).length;
    await until("all have begun", shown, (many) => many === n);
    return begun;
  }
  async nodes(): Promise<number[]> {
    const pids = new Set(this.all.map((p) => p.pid));
    return (await ps()).filter((r) => r.home === 1 && pids.has(r.pid)).map((r) => r.node);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const p of this.all) await cluster.exec(1, ["kill", "-9", String(p.pid)]);
    for (const p of this.all) await p.ended;
  }
}
const levelling = (on: "on" | "off"): Promise<unknown> => cluster.tesela(1, "loadlevel", on, "--all");

test("by itself a process goes to nodes of its mask only; I/O jobs stay at home, CPU jobs go", { skip, timeout: 300_000 }, async () => {
  await using masked = new Jobs();
  await masked.start(3, "tesela", "run", "--nodes", "2");
  await until(
    "one goes to node 2",
    () => masked.nodes(),
    (nodes) => nodes.length === 3 && nodes.includes(2),
  );
  await using io = new Jobs();
  await io.start(2, "iojob");
  await sleep(ROUNDS_MS);
  assert.ok(!(await masked.nodes()).includes(3), String(await masked.nodes()));
  assert.deepEqual(await io.nodes(), [1, 1]);
  await until(
    "why says that it is an I/O job, and stays for that",
    () => cluster.output(1, ["tesela", "why", String(io.all[0]?.pid)]),
    (why) => /it is an I\/O job;? ?(.|\n)*stays: it is an I\/O job/.test(why),
  );
  await using cpu = new Jobs();
  await cpu.start(2, "cpujob");
  await until(
    "a CPU job goes to node 3",
    () => cpu.nodes(),
    (nodes) => nodes.includes(3),
  );
  assert.ok(!(await masked.nodes()).includes(3), String(await masked.nodes()));
});

test("what is locked where it was started stays there, though its host is crowded", { skip, timeout: 300_000 }, async () => {
  await using jobs = new Jobs();
  await jobs.start(3, "runon", "2");
  await until(
    "all on node 2",
    () => jobs.nodes(),
    (nodes) => nodes.length === 3 && nodes.every((n) => n === 2),
  );
  await sleep(ROUNDS_MS);
  assert.deepEqual(await jobs.nodes(), [2, 2, 2]);
});

test("an I/O job that is away goes home, whatever the load there", { skip, timeout: 300_000 }, async () => {
  await using busy = new Jobs();
  await busy.start(2, "runhome");
  await using io = new Jobs();
  await io.start(1, "tesela", "run", "-i", "-N", "2");
  await until(
    "away",
    () => io.nodes(),
    ([node]) => node === 2,
  );
  await until(
    "home",
    () => io.nodes(),
    ([node]) => node === 1,
  );
});

test("by hand a mask takes force; it is changed while it runs; why tells of moves by hand", { skip, timeout: 300_000 }, async () => {
  await levelling("off");
  try {
    await using jobs = new Jobs();
    const [p] = await jobs.start(1, "tesela", "run", "--not", "1-2");
    assert.ok(p);
    const pid = String(p.pid);
    const migrate = (node: number, ...args: string[]): Promise<Migrated> => cluster.tesela<Migrated>(node, "migrate", ...args);
    await assert.rejects(migrate(1, pid, "2"), refused("E_CANTMOVE", /all nodes but 1-2, not to node 2/));
    assert.match((await cluster.exec(1, ["tesela", "migrate", "--why", pid, "2"])).stderr, /all nodes but 1-2, not to node 2/);
    assert.equal((await migrate(3, `1:${pid}`, "2", "--force")).to, 2);
    assert.equal((await rowOf(p)).mask, "!1-2");
    const about = await cluster.tesela<WhyMoved>(3, "why", `1:${pid}`);
    assert.deepEqual([about.node, about.mask, about.levelled], [2, "!1-2", true]);
    const command = about.decisions.find((d) => d.motive === "command");
    assert.match(command?.why ?? JSON.stringify(about), /^moves to node 2: told to by user 0 of node 3$/);
    const set = (node: number, ...args: string[]): Promise<Masked> => cluster.tesela<Masked>(node, "ctl", "mask", ...args);
    assert.deepEqual(await set(1, pid, "all"), { pid: p.pid, mask: null, node: 2, cameHome: false });
    assert.equal((await rowOf(p)).mask, undefined);
    assert.deepEqual(await set(3, `1:${pid}`, "3"), { pid: p.pid, mask: "3", node: 1, cameHome: true });
    assert.equal((await rowOf(p)).node, 1);
    await migrate(1, pid, "3");
    await cluster.kill(1, "teselad", "KILL");
    await until(
      "known after a restart of teselad",
      () => rowOf(p).catch(() => null),
      (row) => row?.mask === "3",
    );
    // Where that took long, it was down for the others.
    await until(
      "node 3 knows that node 1 is up",
      () => cluster.tesela<NodeRow[]>(3, "nodes"),
      (rows) => rows.every((r) => r.state === "up"),
    );
    await assert.rejects(set(3, `1:${pid}`, "3-7"), refused("E_NONODE", /no nodes 4-7 in this cluster: its nodes are 1-3/));
    await assert.rejects(set(1, "1", "2"), refused("E_USAGE", /not under load levelling/));
    const stranger = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"] as const;
    const other = await cluster.exec(1, [...stranger, "tesela", "ctl", "mask", pid, "all"]);
    assert.deepEqual([other.status, /belongs to user 0/.test(other.stderr)], [1, true], other.stderr);
  } finally {
    await levelling("on");
  }
});

test("children inherit what was said", { skip, timeout: 120_000 }, async () => {
  const script = "sleep 1000 & tesela run -c sh -c 'sleep 1000 & wait' & wait";
  const p = await cluster.spawn(1, ["tesela", "run", "-L", "--nodes", "1-2", "setsid", "sh", "-c", script]);
  try {
    const rows = await until(
      "both sleep",
      async () => (await ps()).filter((r) => r.command === "sleep 1000"),
      (all) => all.length === 2,
    );
    assert.deepEqual(new Set(rows.map((r) => `${r.mask} ${r.job}`)), new Set(["1-2 undefined", "1-2 cpu"]));
  } finally {
    await cluster.sh(1, "for p in $(pidof sleep); do kill -9 $p; done");
    await p.ended;
  }
});

/** One that waits in the queue, and says so when it begins. */
interface Queued {
  readonly p: HostProcess;
  begun: boolean;
  said: string;
}
async function queued(jobs: Jobs, ...options: readonly string[]): Promise<Queued> {
  const p = await cluster.spawn(1, ["tesela", "run", "-q", ...options, "sh", "-c", "echo begun; while :; do :; done"]);
  jobs.all.push(p);
  const q: Queued = { p, begun: false, said: "" };
  p.child.stdout?.once("data", () => {
    q.begun = true;
  });
  p.child.stderr?.on("data", (part: Buffer) => {
    q.said += part.toString();
  });
  return q;
}
const begins = (q: Queued | undefined): Promise<unknown> =>
  until(
    "it begins",
    () => Promise.resolve({ ...q, p: null }),
    ({ begun }) => begun === true,
  );

test("in the queue a program waits for a free CPU, first come, first served; ^C gives up", { skip, timeout: 300_000 }, async () => {
  await levelling("off");
  try {
    await using jobs = new Jobs();
    const first = [];
    // One after the other: each node has one CPU.
    for (let i = 0; i < 3; i++) {
      first.push(await queued(jobs));
      await begins(first[i]);
    }
    assert.deepEqual((await jobs.nodes()).sort(), [1, 2, 3]);
    const [fourth, onTwo] = [await queued(jobs), await queued(jobs, "-N", "2")];
    const told = (): Promise<unknown[]> => Promise.resolve([fourth, onTwo].map(({ said, begun }) => said || begun));
    await until("both are told", told, (all) => all.every((said) => said !== false));
    assert.deepEqual([fourth.begun, onTwo.begun], [false, false], JSON.stringify([await ps(), await cluster.tesela(1, "nodes")]));
    assert.match(fourth.said, /^tesela: waits in the queue, number [12] of 2: node 1 has no whole CPU free: tasks want \d/);
    await using terminal = await cluster.tty(1, ["bash", "--norc", "-i"], { env: { PS1: "$ " } });
    await terminal.expect("$ ");
    terminal.line("tesela run -q echo never");
    await terminal.expect(/waits in the queue, number 3 of 3: others wait for the same nodes before it/);
    terminal.type("\x03");
    terminal.line("echo status=$?");
    await terminal.expect("status=130");
    const home = (await ps()).find((r) => r.node === 1 && jobs.all.some((p) => r.cpid === `1:${p.pid}`));
    await cluster.exec(1, ["kill", "-9", String(home?.pid)]);
    await begins(fourth);
    assert.equal(onTwo.begun, false, onTwo.said);
    assert.equal((await rowOf(fourth.p)).node, 1);
    terminal.line("exit");
    await terminal.ended;
  } finally {
    await levelling("on");
  }
});

test("a program begins only where the memory that it asks for is free", { skip, timeout: 120_000 }, async () => {
  const none = await cluster.exec(1, ["mosrun", "-m", "900000000", "echo", "x"]);
  assert.deepEqual([none.status, none.stdout], [1, ""]);
  assert.match(none.stderr, /^tesela: no node has 878906.3 GiB of free memory: node 1 lacks .*, node 2 lacks .*, node 3 lacks .*\n$/);
  assert.equal(await cluster.output(1, ["mosrun", "-m", "10", "echo", "x"]), "x\n");
  assert.equal(await cluster.output(1, ["mosrun", "-m", "10", "-j", "2-3", "echo", "x"]), "x\n");
  assert.match((await cluster.exec(1, ["mosrun", "-m", "10", "-N", "9", "echo", "x"])).stderr, /there is no node '9'/);
  for (const [args, which] of [
    [["-q", "-j", "7-9"], "are no nodes 7-9"],
    [["-j", "2,9"], "is no node 9"],
    [["--nodes", "9"], "is no node 9"],
    [["-b", "--not", "2-12"], "are no nodes 4-12"],
  ] as const) {
    const { status, stderr } = await cluster.exec(1, ["mosrun", ...args, "echo", "x"]);
    assert.deepEqual([status, stderr], [1, `tesela: there ${which} in this cluster: its nodes are 1-3\n`], args.join(" "));
  }
  assert.equal(await cluster.output(1, ["mosrun", "-F", "-j", "2,9", "echo", "x"]), "x\n");
});

test("ctl: yard and decay, and what takes expel back", { skip, timeout: 120_000 }, async () => {
  const says = async (...args: readonly string[]): Promise<string> => (await cluster.output(1, ["mosctl", ...args])).trim();
  assert.equal(await says("getyard"), "10000");
  await using jobs = new Jobs();
  await jobs.start(1, "runhome");
  const load = async (node: number): Promise<number> =>
    (await cluster.tesela<NodeRow[]>(node, "nodes")).find((n) => n.id === 1)?.load ?? Number.NaN;
  await until(
    "node 1 works",
    () => load(1),
    (l) => l > 0.5,
  );
  await says("setyard", "40000");
  assert.equal(await says("getyard"), "40000");
  // What node 2 has heard may be from when others ran there, too.
  await until(
    "node 1 shows its load by its own yard, node 2 by its own",
    () => Promise.all([load(1), load(2)]),
    ([here, there]) => here > 2.5 * there && there > 0,
  );
  await says("setyard", "this");
  assert.equal(await says("getyard"), String((await cluster.tesela<NodeRow[]>(1, "nodes"))[0]?.speed));
  await says("setdecay", "5", "800", "600");
  assert.equal(await says("getdecay"), "5 800 600");
  assert.deepEqual((await cluster.tesela<DaemonStatus>(1, "ctl", "getdecay")).decay, { seconds: 5, slow: 800, fast: 600 });
  assert.match(await says("gettune"), /^a move: 50 ms and a second for each /);
  await says("setyard", "10000");
  await says("expel");
  assert.match(await says("-expel"), /^node 1: load levelling on$/);
});

test("ps in a shell under load levelling does not show itself", { skip, timeout: 120_000 }, async () => {
  const out = await cluster.output(1, ["tesela", "run", "sh", "-c", "sleep 0.1; tesela ps --json; :"]);
  const rows = JSON.parse(out) as ProcessRow[];
  assert.deepEqual(
    rows.filter((r) => /main\.ts/.test(r.command)),
    [],
  );
  assert.ok(
    rows.some((r) => r.command.startsWith("sh -c sleep")),
    out,
  );
});
