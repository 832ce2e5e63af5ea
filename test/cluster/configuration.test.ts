/** The configuration file on real hosts: who moves by itself though nobody started it with `tesela run`. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ProcessRow } from "../../src/daemon/mod.ts";
import { cannot, startCluster, type TestCluster } from "./harness.ts";

const skip = await cannot();
/** Some seconds each, alone on a core. */
const JOB = "scale=1200; x=0; for (i=0;i<12;i++) x+=4*a(1/(i+1)); x";
const JOBS = 6;
const PATIENCE_MS = 60_000;

const dir = mkdtempSync(join(tmpdir(), "tesela-conf-"));
const list = join(dir, "loadlevellist");
let cluster: TestCluster;
before(async () => {
  if (skip) return;
  const file = join(dir, "tesela.toml");
  writeFileSync(file, `[balance]\nloadlevellist = "${list}"\n`);
  cluster = await startCluster({ n: 2, pin: true, env: { TESELA_LEVEL: "on", TESELA_CONFIG: file } });
});
after(async () => {
  await cluster?.[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

const rows = async (): Promise<ProcessRow[]> =>
  (JSON.parse((await cluster.exec(1, ["tesela", "ps", "--json"])).stdout) as ProcessRow[]).filter((r) => r.command.startsWith("bc"));
const job = () => cluster.exec(1, ["bc", "-lq"], { input: `${JOB}\n`, timeoutMs: 300_000 });

test("programs of the loadlevellist spread though they were started as ever", { skip, timeout: 400_000 }, async () => {
  const want = await job();
  assert.equal(want.status, 0, want.stderr);
  // On the host itself: what appears below a mounted overlay may stay unseen.
  const written = await cluster.exec(1, ["sh", "-c", `{ echo '# levelled by name'; command -v bc; } > ${list}`]);
  assert.equal(written.status, 0, written.stderr);
  const jobs = Array.from({ length: JOBS }, job);
  await sleep(1500);
  assert.deepEqual(await rows(), [], "the list is read on SIGHUP, and not before");
  const told = await cluster.exec(1, ["sh", "-c", "kill -HUP $(cat /run/tesela/teselad.pid)"]);
  assert.equal(told.status, 0, told.stderr);
  for (const start = performance.now(); ; await sleep(200)) {
    const seen = await rows();
    if (new Set(seen.map((r) => r.node)).size === 2) break;
    assert.ok(performance.now() - start < PATIENCE_MS, `nobody moved: ${JSON.stringify(seen)}`);
  }
  for (const done of await Promise.all(jobs)) assert.deepEqual(done, want);
});
