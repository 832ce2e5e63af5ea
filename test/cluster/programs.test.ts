/**
 * Real programs that are moved while they run, and must not notice: what they write, to wherever, and how they end is what it is when
 * they stay. Each runs twice at the same time in folders of its own, moved and unmoved.
 *
 * Moves are random in time and place. TESELA_SEED repeats them, TESELA_CASES=gzip,perl picks programs.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { readFileSync } from "node:fs";
import { program } from "../programs/build.ts";
import { type Argv, cannot, startCluster, type TestCluster } from "./harness.ts";
import { exposures, guestsSeen } from "./host-view.ts";
import { homecomings, listen, migrate, type Outcome, type MovedOutcome, runMoved, runUnmoved, SEED, troubles } from "./move.ts";
import { Talk } from "./talk.ts";
import { CASES, prepare } from "./zoo.ts";

const skip = await cannot();
const wanted = process.env.TESELA_CASES?.split(",");
let cluster: TestCluster;

before(async () => {
  if (skip) return;
  cluster = await startCluster({ n: 3 });
  await prepare(cluster);
});
after(async () => await cluster?.[Symbol.asyncDispose]());

for (const [title, c] of Object.entries(CASES)) {
  if (wanted && !wanted.includes(title)) continue;
  test(`${title}: moved, it does what it does unmoved`, { skip }, async (t) => {
    const { script, least, home = [], stays = [], ...options } = c;
    const where = async (kind: string): Promise<{ cwd: string; env: Record<string, string> }> => {
      const cwd = `/tmp/${title.replaceAll(/\W/g, "-")}.${kind}`;
      await cluster.sh(1, `mkdir ${cwd}`);
      return { cwd, env: { DATA: "/tmp/data" } };
    };
    const said = listen(cluster);
    const moved = async (run: number): Promise<MovedOutcome> => {
      const w = await where(`moved${run}`);
      const have = await runMoved(cluster, script, { ...options, ...w, seed: SEED + run });
      t.diagnostic(`seed ${SEED}, run ${run}: ${have.moves.length} moves, ${have.moves.map((m) => `${m.from}>${m.to}`).join(" ")}`);
      return have;
    };
    const [want, first] = await Promise.all([where("unmoved").then((w) => runUnmoved(cluster, script, w)), moved(0)]);
    const runs = [first];
    const count = (): number => runs.reduce((sum, run) => sum + run.moves.length, 0);
    // A program that is soon done where it is fast has not been moved often enough to tell.
    while (count() < least && runs.length < MOST_RUNS) runs.push(await moved(runs.length));
    const logs = (): string => [1, 2, 3].map((n) => `--- node ${n}\n${said(n).split("\n").slice(-LOG_LINES).join("\n")}`).join("\n");
    assert.deepEqual({ status: want.status, stderr: want.stderr }, { status: 0, stderr: "" });
    assert.notEqual(want.stdout, "");
    for (const { moves, refused, ...outcome } of runs) {
      assert.equal(difference(outcome, want), null, logs());
      const unmoved = refused.filter((text) => !stays.some((reason) => text.includes(`["${reason}"]`)));
      assert.deepEqual(unmoved, [], logs());
      if (c.moves !== undefined) assert.equal(moves.length, c.moves);
    }
    assert(count() >= least, `only ${count()} moves in ${runs.length} runs`);
    const others = homecomings(said(1)).filter((reason) => !home.includes(reason));
    assert.deepEqual(others, [], `only what has to brings it home\n${logs()}`);
    assert.deepEqual(
      [1, 2, 3].flatMap((n) => troubles(said(n))),
      [],
    );
    await cluster.sh(1, `rm -r /tmp/${title.replaceAll(/\W/g, "-")}.*`);
  });
}
const LOG_LINES = 12;
const MOST_RUNS = 5;

test("what of its own view only home can tell takes a program there", { skip }, async () => {
  if (wanted && !wanted.includes("its own view")) return;
  const said = listen(cluster);
  const unmoved = await cluster.output(1, ["own-view", "3", "0", "mem"]);
  assert.equal(await cluster.output(1, ["tesela", "run", "-n", "2", "own-view", "3", "0", "mem"]), unmoved);
  assert.deepEqual(homecomings(said(1)), ["own_view"]);
});

const MIB = "1024";
const ROUTE = [2, 3, 1, 3, 2, 1];
/** One after each move, two to look at its CPU time, and one to end with. */
const ROUNDS = ROUTE.length + 3;

test("1 GiB is whole after each move, released at home, and nobody's business on the host", { skip }, async (t) => {
  if (wanted && !wanted.includes("memfill")) return;
  const dir = "/tmp/quokka-files";
  await cluster.sh(1, `mkdir ${dir} && cp ${program("memfill")} ${dir}/quokka-fill`);
  const argv: Argv = [`${dir}/quokka-fill`, MIB, String(ROUNDS), "918273645", "-1"];
  const unmoved = cluster.output(1, argv, { input: "\n".repeat(ROUNDS) });
  await using moved = await Talk.start(cluster, argv, { cwd: dir, env: { QUOKKA: "quokka-value" } });
  const line = (): Promise<string> => moved.next();
  assert.match(await line(), /^filled/);
  let round = 0;
  for (const to of ROUTE) {
    // In the middle of a round, which then goes on there.
    moved.say("");
    const { bytes, freezeMs } = await migrate(cluster, moved.pid, to);
    assert.equal(await line(), `ok ${++round}`);
    t.diagnostic(`to node ${to}: ${bytes} bytes, frozen for ${Math.round(freezeMs)} ms`);
    if (to !== 1) await lookAround(moved, to);
  }
  // At home its memory is its own again, and it can leave once more.
  await migrate(cluster, moved.pid, 3);
  const before = ticks(moved.outerPid);
  for (let i = 0; i < 2; i++) {
    moved.say("");
    assert.equal(await line(), `ok ${++round}`);
  }
  assert(ticks(moved.outerPid) - before <= 2, "no CPU is used at home while it computes elsewhere");
  moved.say("");
  assert.equal(await line(), `ok ${++round}`);
  const { status, lines } = await moved.end();
  assert.deepEqual({ status, stdout: `${lines.join("\n")}\n` }, { status: 0, stdout: await unmoved });
});

/** What is seen of the big program at home, and of it on its host. */
async function lookAround(p: Talk, node: number): Promise<void> {
  const rss = Number(/^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${p.outerPid}/status`, "utf8"))?.[1] ?? 0);
  assert(rss < 1024, `${rss} kB resident at home`);
  assert.equal(await cluster.sh(1, `ps -o args= -p ${p.pid}`), `/tmp/quokka-files/quokka-fill ${MIB} ${ROUNDS} 918273645 -1`);
  assert.deepEqual(await exposures(cluster, node, ["quokka", "918273645"]), []);
  assert((await guestsSeen(cluster, node)).includes("nobody [tesela-guest]"), "the host's users see that there is a guest");
}

/** CPU time of a task so far, in ticks. */
function ticks(outerPid: number): number {
  const [user = 0, system = 0] = readFileSync(`/proc/${outerPid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ")
    .slice(11, 13)
    .map(Number);
  return user + system;
}

/** Where two outcomes part, in few words; null when they do not. */
function difference(have: Outcome, want: Outcome): string | null {
  if (have.status !== want.status) return `status ${have.status}, not ${want.status}; stderr ${JSON.stringify(have.stderr.slice(-1500))}`;
  for (const name of ["stdout", "stderr"] as const) {
    if (have[name] === want[name]) continue;
    let at = 0;
    while (have[name][at] === want[name][at]) at++;
    const part = (text: string): string => JSON.stringify(text.slice(Math.max(at - 40, 0), at + 80));
    return `${name} differs at ${at} of ${want[name].length}: ${part(have[name])}, not ${part(want[name])}`;
  }
  return null;
}
