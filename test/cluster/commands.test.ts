import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { TeselaError } from "../../src/base/mod.ts";
import type { Migrated, NodeRow, ProcessRow, TraceLine } from "../../src/daemon/mod.ts";
import { cannot, type HostProcess, startCluster, type TestCluster } from "./harness.ts";

/** `run`, `migrate`, `ps` and `nodes`, as people and scripts use them, on one real cluster. */

const skip = await cannot();
const SPIN = ["sh", "-c", "i=0; while [ ! -e /tmp/stop ]; do i=$((i + 1)); done; echo done"] as const;
/** A user who is nobody in particular, in a group of its own. */
const asUser = (uid: number, gid = uid): [string, ...string[]] => ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];

let cluster: TestCluster;
before(async () => {
  if (!skip) cluster = await startCluster({ n: 3 });
});
after(async () => {
  if (!skip) await cluster[Symbol.asyncDispose]();
});

/** CPUs that a busy loop gets at least, on the busiest machine. */
const BUSY = 0.02;
const row = async (node: number, cpid: string): Promise<ProcessRow | undefined> =>
  (await cluster.tesela<ProcessRow[]>(node, "ps")).find((r) => r.cpid === cpid);
const isError = (code: string, text: RegExp) => (e: unknown) => {
  assert.ok(e instanceof TeselaError, String(e));
  assert.equal(e.code, code, e.message);
  assert.match(e.message, text);
  return true;
};
async function until(what: string, yes: () => Promise<boolean>, ms = 60_000): Promise<void> {
  const end = performance.now() + ms;
  while (!(await yes())) {
    if (performance.now() > end) assert.fail(`not within ${ms} ms: ${what}`);
    await sleep(100);
  }
}
/** When a node's teselad has said this: milliseconds of the Unix epoch. */
const logged = (node: number, message: string): number[] =>
  cluster
    .log(node, "teselad")
    .split("\n")
    .flatMap((line) => (line.includes(`"message":"${message}"`) ? [Date.parse((JSON.parse(line) as { time: string }).time)] : []));
/** Ends with the test, whatever becomes of it. */
function ending(p: HostProcess): HostProcess & AsyncDisposable {
  return {
    ...p,
    async [Symbol.asyncDispose]() {
      p.child.kill("SIGKILL");
      await cluster.exec(1, ["kill", "-9", String(p.pid)]);
    },
  };
}
const spin = async (prefix: readonly string[] = []): Promise<HostProcess & AsyncDisposable> =>
  ending(await cluster.spawn(1, [...prefix, ...SPIN] as unknown as [string, ...string[]]));

test("nodes: three, up, with their figures", { skip }, async () => {
  let nodes: NodeRow[] = [];
  await until("every engine is seen", async () => {
    nodes = await cluster.tesela<NodeRow[]>(2, "nodes");
    return nodes.every((n) => n.flags.length === 0);
  });
  assert.deepEqual(
    nodes.map((n) => [n.id, n.name, n.address, n.state, n.speed, n.flags]),
    [1, 2, 3].map((id) => [id, `h${id}`, `10.88.0.${id}`, "up", 10_000, []]),
  );
  for (const n of nodes) assert.ok(n.cpus > 0 && n.memTotal > n.memFree && n.memFree > 0, JSON.stringify(n));
  const table = (await cluster.output(3, ["tesela", "nodes"])).split("\n");
  assert.match(table[0] ?? "", /^ID +NAME +STATE +CPUS +LOAD +FREE +GUESTS +AWAY +FLAGS$/);
  assert.equal(table.length, 5);
});

test("migrate and ps: to a node, on to another, home; every node tells the same", { skip }, async () => {
  await using p = await spin();
  const pid = p.pid;
  const cpid = `1:${pid}`;
  const first = await cluster.tesela<Migrated>(1, "migrate", String(pid), "2");
  assert.deepEqual([first.pid, first.from, first.to], [pid, 1, 2]);
  assert.ok(first.bytes > 0 && first.freezeMs > 0 && first.totalMs >= first.freezeMs);
  const away = await row(1, cpid);
  assert.ok(away);
  assert.deepEqual([away.pid, away.home, away.node, away.nmigs, away.lock, away.cantmove], [pid, 1, 2, 1, false, []]);
  assert.equal(away.command, SPIN.join(" "));
  assert.ok(away.rss > 0);
  await until("its CPU use is seen", async () => ((await row(1, cpid))?.cpu ?? 0) > BUSY);
  for (const node of [2, 3]) assert.equal((await row(node, cpid))?.node, 2, `as node ${node} tells`);
  await until("counted", async () => {
    const [h1, h2] = await cluster.tesela<NodeRow[]>(3, "nodes");
    return h1?.away === 1 && h2?.guests === 1;
  });
  assert.match(await cluster.output(1, ["tesela", "ps"]), new RegExp(`^ *${pid} +\\S+ +1 +2 +1 `, "m"));
  assert.match(await cluster.output(2, ["mps"]), new RegExp(`^ *${cpid} +\\S+ +1 +2 +1 `, "m"));

  assert.match(await cluster.output(1, ["migrate", String(pid), "h3"]), new RegExp(`^${pid}: node 2 -> node 3, .* stood still .* ms\\n$`));
  await assert.rejects(cluster.tesela(1, "migrate", cpid, "3"), isError("E_THERE", /is on node 3 already/));
  assert.equal((await cluster.tesela<Migrated>(1, "migrate", String(pid), "home")).to, 1);
  assert.deepEqual([(await row(2, cpid))?.node ?? 1, (await row(2, cpid))?.nmigs ?? 3], [1, 3]);
  await assert.rejects(cluster.tesela(1, "migrate", String(pid), "1"), isError("E_THERE", /is at home already/));
  await cluster.sh(1, "touch /tmp/stop");
  assert.equal((await p.ended).status, 0);
  await cluster.sh(1, "rm /tmp/stop");
});

test("run -N: the program starts there, with its own PID, output and exit status", { skip }, async () => {
  const script = 'echo $$; read line; echo "got $line"; exit 7';
  await using p = ending(await cluster.spawn(1, ["sh", "-c", 'exec tesela run -N 2 sh -c "$1"', "sh", script]));
  let text = "";
  p.child.stdout?.on("data", (part: Buffer) => {
    text += part;
  });
  await until("it has begun", async () => text.includes("\n"));
  assert.equal(text, `${p.pid}\n`);
  // It may speak before its home has written down where it is.
  await until("it is listed there", async () => (await row(1, `1:${p.pid}`))?.node === 2);
  assert.equal((await row(1, `1:${p.pid}`))?.nmigs, 1);
  p.child.stdin?.end("a line\n");
  assert.equal((await p.ended).status, 7);
  assert.equal(text, `${p.pid}\ngot a line\n`);
  const chosen = await cluster.exec(1, ["tesela", "run", "-j", "2-3", "sh", "-c", "cat /proc/sys/kernel/hostname; kill -TERM $$"]);
  assert.deepEqual([chosen.stdout, chosen.signal], ["h1\n", "SIGTERM"]);
  assert.equal((await cluster.exec(1, ["mosrun", "-n", "h3", "echo", "there"])).stdout, "there\n");
});

test("run at home is listed by ps, also after teselad was restarted", { skip }, async () => {
  await using p = ending(await cluster.spawn(1, ["sh", "-c", 'exec tesela run "$@"', "sh", ...SPIN]));
  const cpid = `1:${p.pid}`;
  await until("listed", async () => (await row(2, cpid))?.node === 1);
  await until("with its CPU use", async () => ((await row(2, cpid))?.cpu ?? 0) > BUSY);
  const before = [2, 3].map((node) => cluster.log(node, "teselad").length);
  await cluster.kill(1, "teselad", "KILL");
  await until("listed again", async () => (await row(1, cpid).catch(() => undefined))?.node === 1);
  assert.equal((await row(1, cpid))?.command, SPIN.join(" "));
  // They notice at their next question that it was gone, and dial again.
  const back = /"node 1 is down".*"node 1 is up"/s;
  await until("the others see it again", async () => [2, 3].every((node, i) => back.test(cluster.log(node, "teselad").slice(before[i]))));
  await until("it sees the others", async () => (await cluster.tesela<NodeRow[]>(1, "nodes")).every((n) => n.state === "up"));
});

test("what cannot be is refused by name, with status 1, and nothing changes", { skip }, async () => {
  await using p = await spin();
  const pid = String(p.pid);
  const refused = (args: readonly string[], code: string, text: RegExp): Promise<void> =>
    assert.rejects(cluster.tesela(1, "migrate", ...args), isError(code, text));
  await refused(["4194000", "2"], "E_NOENT_PID", /no process 4194000 on this node/);
  await refused([pid, "9"], "E_NONODE", /no node '9'/);
  await refused([pid, "h9"], "E_NONODE", /no node 'h9'/);
  await refused([`9:${pid}`, "2"], "E_NONODE", /no node 9/);
  await refused(["2:4194000", "1"], "E_NOENT_PID", /no process 4194000/);
  const line = await cluster.exec(1, ["tesela", "migrate", pid, "9"]);
  assert.deepEqual([line.status, line.stdout, line.stderr], [1, "", "tesela: there is no node '9'\n"]);
  for (const bad of [["x", "2"], ["0", "2"], [pid], [pid, "2", "3"], ["--wy", pid, "2"]]) {
    assert.equal((await cluster.exec(1, ["tesela", "migrate", ...bad])).status, 2, bad.join(" "));
  }
  assert.equal((await row(1, `1:${pid}`))?.node ?? 1, 1);
  const why = await cluster.tesela<{ reasons: string[] }>(1, "migrate", "--why", pid, "2");
  assert.deepEqual(why.reasons, []);
});

test("ctl: what is asked comes as numbers; what was told is known at once, and named where it is in the way", { skip }, async () => {
  assert.deepEqual(await cluster.tesela(1, "ctl", "isup", "2"), { node: 2, isup: true });
  for (const verb of ["getload", "getspeed", "getmem", "getfree", "getutil", "getyard"])
    assert.equal(typeof (await cluster.tesela<Record<string, unknown>>(1, "ctl", verb))[verb], "number", verb);
  const flags = async (): Promise<(readonly string[])[]> => (await cluster.tesela<NodeRow[]>(1, "nodes")).map((n) => n.flags);
  try {
    await cluster.tesela(1, "ctl", "block", "--node", "2");
    assert.deepEqual(await flags(), [[], ["block"], []]);
    for (const where of [
      ["-N", "2"],
      ["-j", "2"],
    ])
      assert.match(
        (await cluster.exec(1, ["tesela", "run", ...where, "echo"])).stderr,
        /'block' is set there; tesela ctl noblock --node 2/,
      );
    await using p = await spin();
    await assert.rejects(cluster.tesela(1, "migrate", String(p.pid), "2"), isError("E_REFUSED", /'block' is set there/));
  } finally {
    await cluster.tesela(1, "ctl", "noblock", "--node", "2");
  }
  assert.deepEqual(await flags(), [[], [], []]);
  await using p = await spin();
  await cluster.tesela(1, "migrate", String(p.pid), "2");
  const counts = async (): Promise<number[]> => (await cluster.tesela<NodeRow[]>(2, "nodes")).map((n) => n.guests);
  assert.equal((await counts())[1], 1);
  await cluster.tesela(2, "ctl", "expel");
  assert.equal((await counts())[1], 0);
  await cluster.tesela(2, "ctl", "noexpel");
});

test("owner, group owner and root may move a process, others not; over nodes only root", { skip }, async () => {
  await using p = await spin(asUser(1234, 4321));
  const pid = String(p.pid);
  const migrate = (as: readonly string[], node: number, ...args: string[]) =>
    cluster.exec(node, [...as, "tesela", "migrate", ...args] as unknown as [string, ...string[]]);
  const stranger = await migrate(asUser(999), 1, pid, "2");
  assert.deepEqual([stranger.status, stranger.stderr], [1, `tesela: process ${pid} belongs to user 1234: user 999 may not move it\n`]);
  for (const [as, target] of [
    [asUser(1234, 1), "2"],
    [asUser(999, 4321), "3"],
    [[], "home"],
  ] as const) {
    const done = await migrate(as, 1, pid, target);
    assert.equal(done.status, 0, done.stderr);
  }
  const far = await migrate(asUser(1234, 4321), 2, `1:${pid}`, "2");
  assert.equal(far.status, 1);
  assert.match(far.stderr, /has another home node: only root may move it from here/);
  const root = await migrate([], 2, `1:${pid}`, "3");
  assert.equal(root.status, 0, root.stderr);
  assert.equal((await row(2, `1:${pid}`))?.node, 3);
});

test("a node that is cut is down within 3 s, refused, and up again once healed", { skip }, async () => {
  await using p = await spin();
  const state = async (): Promise<string | undefined> => (await cluster.tesela<NodeRow[]>(1, "nodes")).find((n) => n.id === 3)?.state;
  await cluster.cut(3);
  const cutAt = Date.now();
  await until("down", async () => (await state()) === "down");
  // By its own clock: what a command takes to ask is another matter.
  const took = Math.max(...logged(1, "node 3 is down")) - cutAt;
  assert.ok(took <= 3000, `after ${took} ms`);
  await assert.rejects(cluster.tesela(1, "migrate", String(p.pid), "3"), isError("E_NODE_DOWN", /node 3 \(h3, 10\.88\.0\.3\) is down/));
  const run = await cluster.exec(1, ["tesela", "run", "-N", "3", "echo", "x"]);
  assert.deepEqual([run.status, run.stdout], [1, ""]);
  assert.match(run.stderr, /^tesela: node 3 .* is down\n$/);
  assert.equal((await cluster.exec(1, ["tesela", "run", "-F", "-N", "3", "echo", "x"])).stdout, "x\n");
  assert.equal((await cluster.exec(1, ["tesela", "run", "-j2-3", "echo", "x"])).stdout, "x\n");
  await cluster.heal(3);
  await until("up", async () => (await state()) === "up");
});

test("killing teselad changes nothing for a process that is away", { skip }, async () => {
  await using p = await spin();
  const cpid = `1:${p.pid}`;
  await cluster.tesela(1, "migrate", String(p.pid), "2");
  for (const node of [1, 2, 3]) await cluster.kill(node, "teselad", "KILL");
  await until(
    "they are back",
    async () => (await cluster.tesela<NodeRow[]>(1, "nodes").catch(() => [])).filter((n) => n.state === "up").length === 3,
  );
  await until("the process is seen from afar", async () => (await row(3, cpid).catch(() => undefined))?.node === 2);
  await cluster.tesela(1, "migrate", String(p.pid), "3");
  await cluster.sh(1, "touch /tmp/stop");
  assert.equal((await p.ended).status, 0);
  await cluster.sh(1, "rm /tmp/stop");
});

/** Runs `tesela trace --json` on node 1 until it ends or is ended; its lines so far. */
async function tracing(argv: readonly string[]): Promise<HostProcess & AsyncDisposable & { lines: TraceLine[] }> {
  const p = ending(await cluster.spawn(1, argv as [string, ...string[]], { stdio: ["ignore", "pipe", "inherit"] }));
  const lines: TraceLine[] = [];
  let rest = "";
  p.child.stdout?.on("data", (part: Buffer) => {
    const all = (rest + part.toString()).split("\n");
    rest = all.pop() ?? "";
    lines.push(...all.map((line) => JSON.parse(line) as TraceLine));
  });
  return { ...p, lines, [Symbol.asyncDispose]: () => p[Symbol.asyncDispose]() };
}

test("trace: calls of a process while it is away, wherever that is, for its owner and root alone", { skip }, async () => {
  const script = 'while read -r line; do echo "got $line"; cd /tmp; cd /no/such 2> /dev/null; done; exit 3';
  await using p = ending(await cluster.spawn(1, [...asUser(4242), "sh", "-c", script]));
  let said = "";
  p.child.stdout?.on("data", (part: Buffer) => {
    said += part;
  });
  const turn = async (text: string): Promise<void> => {
    p.child.stdin?.write(`${text}\n`);
    await until(`it answers ${text}`, async () => said.includes(`got ${text}\n`));
  };
  await turn("at home");
  await cluster.tesela(1, "migrate", String(p.pid), "2");

  const refused = await cluster.exec(1, [...asUser(77), "tesela", "trace", String(p.pid)]);
  assert.deepEqual([refused.status, /only its owner and root may trace it/.test(refused.stderr)], [1, true], refused.stderr);
  assert.match((await cluster.exec(2, ["tesela", "trace", `1:${p.pid}`])).stderr, /has another home node/);
  assert.equal((await cluster.exec(1, ["tesela", "trace", "999999"])).status, 1);

  await using mine = await tracing([...asUser(4242), "tesela", "trace", "--json", String(p.pid)]);
  await until("it is watched", async () => {
    await turn(`knock${mine.lines.length}`);
    return mine.lines.length > 0;
  });
  const find = (name: string, text: string): TraceLine | undefined =>
    mine.lines.find((l) => l.name === name && l.args.join(", ").includes(text));
  await turn("first");
  await until("seen", async () => find("chdir", "/no/such") !== undefined && find("write", "first") !== undefined);
  const write = find("write", "first") as TraceLine;
  assert.deepEqual([write.node, write.args, write.result, write.route], [2, ["1", '"got first\\n"', "10"], "10", "home"]);
  assert.ok(write.homeMs > 0 && write.ms >= write.homeMs && Math.abs(write.at - Date.now()) < 60_000, JSON.stringify(write));
  assert.equal(find("chdir", "/no/such")?.result, "-1 ENOENT");
  assert.equal(find("read", '"f"')?.result, "1", "what was read is shown");

  await cluster.tesela(1, "migrate", String(p.pid), "3");
  await turn("second");
  await until("seen from there", async () => find("write", "second")?.node === 3);

  // In words, beside the other; ^C ends it and nothing else.
  await using words = ending(await cluster.spawn(1, ["tesela", "trace", String(p.pid)]));
  let text = "";
  words.child.stdout?.on("data", (part: Buffer) => {
    text += part;
  });
  await until("told in words", async () => {
    await turn(`again${text.length}`);
    return /^\d\d:\d\d:\d\d\.\d{3} 3 write\(1, "got again.*\) = \d+ <home [\d.]+ ms, [\d.]+ there>$/m.test(text);
  });
  words.child.kill("SIGINT");
  assert.equal((await words.ended).status, 0);
  await turn("third");
  await until("the other still sees", async () => find("write", "third") !== undefined);

  p.child.stdin?.end();
  assert.equal((await p.ended).status, 3);
  assert.equal((await mine.ended).status, 0, "it ends with the process");
  assert.equal(mine.lines.at(-1)?.name, "exit_group");
});
