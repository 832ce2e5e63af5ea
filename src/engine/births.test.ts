/** A deputy that forks is taken over at any moment of that. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { Log } from "../base/mod.ts";
import { isErrno, libc, Tracees } from "../sys/mod.ts";
import type { Deputy } from "./deputy.ts";
import { forkDeputy } from "./home-family.ts";
import { Sys } from "./numbers.ts";
import { enterAll, SEED, seeded, TestProgram } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "tracing other users' processes needs root";
const log = new Log({ level: "error" });

const SIGKILL = 9;
const SIGCHLD = 17;
const PROT_READ_WRITE = 3;
/** MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE. */
const MAP_FLAGS = 0x4022;
const [MADV_NOHUGEPAGE, MADV_POPULATE_READ, MADV_POPULATE_WRITE] = [15, 22, 23];
/** Of the page of zeros, so it takes no memory but its tables, which a fork copies. */
const BYTES = 1n << 30n;
const FORKS = 40;
/** A stop takes a millisecond; one that was lost never comes. */
const PATIENCE_MS = 20_000;

/** Makes a fork take milliseconds in the kernel. False where that has no MADV_POPULATE_READ (Linux 5.14). */
async function slowForks(deputy: Deputy): Promise<boolean> {
  const at = await deputy.call(Sys.mmap, 0, BYTES, PROT_READ_WRITE, MAP_FLAGS, -1, 0);
  assert.ok(!isErrno(at), `mmap: ${at}`);
  const results = await deputy.calls([
    { nr: Sys.madvise, args: [at, BYTES, MADV_NOHUGEPAGE] },
    { nr: Sys.madvise, args: [at, BYTES, MADV_POPULATE_READ] },
    // An area that was never written to is left out of a fork.
    { nr: Sys.madvise, args: [at, 4096, MADV_POPULATE_WRITE] },
  ]);
  return results.every((r) => r === 0n);
}

test("a deputy that forks is taken over all the same", { skip, timeout: 120_000 }, async (t) => {
  using tracees = new Tracees();
  const random = seeded();
  using busy = await TestProgram.start(tracees, program("busy"), "1000000");
  const { pid } = busy;
  using open = new DisposableStack();
  const { home } = await enterAll(tracees, pid, log);
  const { deputy } = home.leader;
  open.defer(() => deputy.close());
  if (!(await slowForks(deputy))) {
    t.skip("this kernel cannot be made slow to fork");
    return;
  }
  let forkMs = 0;
  for (let i = 0; i < FORKS; i++) {
    home.phase = "away";
    const start = performance.now();
    const forking = forkDeputy(tracees, home.leader, { flags: 0n, exitSignal: SIGCHLD }, log);
    const took = forking.then(() => performance.now() - start);
    // The first tells how long one takes.
    await sleep(i === 0 ? await took : random.float() * forkMs);
    const over = new AbortController();
    const stopped = await Promise.race([home.takeOver().then(() => true), sleep(PATIENCE_MS, false, { signal: over.signal })]);
    over.abort();
    if (i === 0) forkMs = await took;
    const child = await forking;
    assert.ok("deputy" in child);
    open.defer(() => {
      if (stopped) return;
      libc.kill(child.deputy.pid, SIGKILL);
      child.deputy.close();
    });
    assert.ok(stopped, `seed ${SEED}: fork ${i} has lost the stop`);
    tracees.claim(child.deputy.pid, () => {});
    await home.stillborn.bury(deputy, child.deputy.pid);
    tracees.release(child.deputy.pid);
    child.deputy.close();
  }
});
