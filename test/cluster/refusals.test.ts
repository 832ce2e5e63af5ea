/** Every reason that keeps a process at home: named, with status 1, and the process goes on as if nothing had been asked. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { toTeselaError } from "../../src/base/mod.ts";
import { EXIT_UNAVAILABLE, type ProgramName, program } from "../programs/build.ts";
import { cannot, startCluster, type TestCluster } from "./harness.ts";
import { engine, migrate } from "./move.ts";
import { Talk } from "./talk.ts";

/** What each program does, by the reason that it gives. */
const REASONS: Readonly<Partial<Record<ProgramName, string>>> = {
  "refuse-32bit": "code_32bit",
  "refuse-aio": "aio",
  "refuse-cpu-limit": "cpu_limit",
  "refuse-cpu-timer": "cpu_timer",
  "refuse-device": "mmap_dev",
  "refuse-hugetlb": "hugetlb",
  "refuse-io-uring": "io_uring",
  "refuse-leader-exit": "leader_exit",
  "refuse-mlock": "mem_lock",
  "refuse-own-view": "own_view",
  "refuse-perf": "perf_event",
  "refuse-realtime": "rt_sched",
  "refuse-seccomp": "seccomp",
  "refuse-shared-anon": "shared_memory",
  "refuse-shared-file": "monkey",
  "refuse-shared-open": "monkey",
  "refuse-sysv-shm": "sysv_shm",
  "refuse-traced": "traced",
  "refuse-tracer": "ptrace",
  "refuse-unshared": "unshared_files",
  "refuse-userfaultfd": "userfaultfd",
  "refuse-vfork": "clone_vm",
};

const SHARED_WITH_PARTNER: ReadonlySet<string> = new Set(["refuse-shared-anon", "refuse-shared-open"]);
/** TASK_COMM_LEN (include/linux/sched.h), without the end. */
const COMM_BYTES = 15;

const skip = await cannot();
let cluster: TestCluster;
before(async () => {
  if (skip === false) cluster = await startCluster({ n: 2 });
});
after(async () => await cluster?.[Symbol.asyncDispose]());

for (const [name, reason] of Object.entries(REASONS) as [ProgramName, string][]) {
  test(`${name} stays home for ${reason}`, { skip }, async (t) => {
    const file = `/tmp/${name}`;
    await cluster.sh(1, `cp ${program(name)} ${file}`);
    await using talk = await Talk.start(cluster, [file]);
    const line = await talk.next();
    if (line !== "ready") {
      assert.equal((await talk.ended).status, EXIT_UNAVAILABLE);
      t.skip(`this machine cannot do it: ${line}`);
      return;
    }
    const why = await engine<{ reasons: string[] }>(cluster, 1, "POST", "/migrate", { pid: talk.pid, target: 2, uid: 0, why: true });
    // An interval timer shows only to the process itself, once it is stopped.
    if (reason !== "cpu_timer") assert(why.reasons.includes(reason), `asked why: ${why.reasons.join(", ")}`);
    await assert.rejects(migrate(cluster, talk.pid, 2), (e: unknown) => {
      const { code, details } = toTeselaError(e);
      assert.equal(code, "E_CANTMOVE");
      assert((details.reasons as string[]).includes(reason), `refused for ${String(details.reasons)}`);
      return true;
    });
    const done = await cluster.exec(1, ["tesela", "migrate", String(talk.pid), "2"]);
    assert.equal(done.status, 1);
    assert.match(done.stderr, /^tesela: .+\n$/);
    // Who else has hold of it.
    const partner = await cluster.sh(1, `cat /proc/${talk.pid}/task/*/children | tr -d ' '`);
    if (SHARED_WITH_PARTNER.has(name)) assert.match(done.stderr, new RegExp(`process ${partner} \\(${name.slice(0, COMM_BYTES)}\\)`));
    // It is still there, and nobody holds on to it.
    const tracer = await cluster.sh(1, `sed -n 's/^TracerPid:\\t//p' /proc/${talk.pid}/status`);
    if (reason !== "traced") assert.equal(tracer, "0");
    const state = reason === "leader_exit" ? /^Z/ : /^[RSD]|^t/;
    assert.match(await cluster.sh(1, `sed -n 's/^State:\\t//p' /proc/${talk.pid}/status`), state);
  });
}
