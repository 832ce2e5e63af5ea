/**
 * Real programs that are moved while they run, and must not notice: what they write, to wherever, and how they end is what it is when
 * they stay. Each runs twice at the same time in folders of its own, moved and unmoved.
 *
 * Moves are random in time and place. TESELA_SEED repeats them, TESELA_CASES=gzip,perl picks programs.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { cannot, startCluster, type TestCluster } from "./harness.ts";
import { homecomings, listen, type Outcome, runMoved, runUnmoved, SEED, troubles } from "./move.ts";
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
    const { script, least, home = [], ...options } = c;
    const where = async (kind: string): Promise<{ cwd: string; env: Record<string, string> }> => {
      const cwd = `/tmp/${title.replaceAll(/\W/g, "-")}.${kind}`;
      await cluster.sh(1, `mkdir ${cwd}`);
      return { cwd, env: { DATA: "/tmp/data" } };
    };
    const said = listen(cluster);
    const [want, have] = await Promise.all([
      where("unmoved").then((w) => runUnmoved(cluster, script, w)),
      where("moved").then((w) => runMoved(cluster, script, { ...options, ...w, seed: SEED })),
    ]);
    const { moves, refused, ...outcome } = have;
    const path = moves.map((m) => `${m.from}>${m.to}`).join(" ");
    t.diagnostic(`seed ${SEED}: ${moves.length} moves, ${path}`);
    const logs = (): string => [1, 2, 3].map((n) => `--- node ${n}\n${said(n).split("\n").slice(-LOG_LINES).join("\n")}`).join("\n");
    assert.deepEqual({ status: want.status, stderr: want.stderr }, { status: 0, stderr: "" });
    assert.notEqual(want.stdout, "");
    assert.equal(difference(outcome, want), null, logs());
    assert.deepEqual(refused, [], logs());
    assert(moves.length >= least, `only ${moves.length} moves: ${path}`);
    if (c.moves !== undefined) assert.equal(moves.length, c.moves);
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

/** Where two outcomes part, in few words; null when they do not. */
function difference(have: Outcome, want: Outcome): string | null {
  if (have.status !== want.status) return `status ${have.status}, not ${want.status}; stderr ${JSON.stringify(have.stderr.slice(-500))}`;
  for (const name of ["stdout", "stderr"] as const) {
    if (have[name] === want[name]) continue;
    let at = 0;
    while (have[name][at] === want[name][at]) at++;
    const part = (text: string): string => JSON.stringify(text.slice(Math.max(at - 40, 0), at + 80));
    return `${name} differs at ${at} of ${want[name].length}: ${part(have[name])}, not ${part(want[name])}`;
  }
  return null;
}
