import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { startCluster, type TestCluster } from "../test/cluster/harness.ts";
import { type Figure, type Lab, type Measured, type Row, row } from "./lab.ts";
import { type ProjectSize, writeProject } from "./project.ts";

const JOBS = 12;
const HOSTS = 3;
/** Some eight seconds on one core. */
const JOB = "scale=1500; x=0; for (i=0;i<12;i++) x+=4*a(1/(i+1)); x";
const MAKE_JOBS = 8;
/** C projects as they are: each of these compiles for half a second, or for one. */
const PROJECTS: Readonly<Record<string, ProjectSize>> = {
  "files of half a second": { files: 150, functions: 110, flags: "-O2" },
  "files of a second": { files: 60, functions: 165, flags: "-O2" },
};
const QUIET_MS = 5000;
const GUARD_MS = 1_200_000;
const CORES = 2;
const ICECC = "/usr/bin/icecc";
const LEVELLED = { TESELA_LEVEL: "on", TESELA_RIVALS: "on" };

/** What load levelling is worth, beside what people do without: spreading by hand, and a compiler that spreads itself. */
export const balance: Figure = {
  title: "load levelling",
  programs: [],
  async measure(lab: Lab, rounds: number): Promise<Row[]> {
    const rows = [await jobs(rounds)];
    for (const [what, size] of Object.entries(PROJECTS)) rows.push(await make(`${lab.dir}/project-${rows.length}`, what, size, rounds));
    return rows;
  },
};

async function timed(work: () => Promise<unknown>): Promise<number> {
  await sleep(QUIET_MS);
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Jobs that begin on one of three hosts, which have two cores between them. */
async function jobs(rounds: number): Promise<Row> {
  await using cluster = await startCluster({ n: HOSTS, pin: true, env: LEVELLED });
  const bc = async (host: number, ...before: string[]): Promise<void> => {
    const [file = "bc", ...args] = [...before, "bc", "-lq"];
    const done = await cluster.exec(host, [file, ...args], { input: `${JOB}\n`, timeoutMs: GUARD_MS });
    if (done.status !== 0) throw new Error(`bc: ${done.stderr}`);
  };
  const all = (start: (i: number) => Promise<void>) => () => Promise.all(Array.from({ length: JOBS }, (_, i) => start(i)));
  // Hosts 1 and 2 have a core each, host 3 one that is host 1's too: as many on each core as whoever knew all that would put there.
  const ideal = all((n) => bc(1 + (n % CORES)));
  const measured: Measured[] = [];
  for (let i = 0; i < rounds; i++) {
    const before = await timed(ideal);
    const levelled = await timed(all(() => bc(1, "tesela", "run")));
    const behind = await timed(ideal);
    const alone = await timed(() => bc(2));
    const byHand = await timed(all((n) => bc(1 + (n % HOSTS))));
    const oneHost = await timed(all(() => bc(1)));
    const limits = { ideal: (before + behind) / 2, "one after the other": (alone * JOBS) / CORES, "by hand": byHand, "one host": oneHost };
    measured.push({ value: levelled, limits });
  }
  return row(`${JOBS} bc jobs begun on one of ${HOSTS} hosts`, "ms", measured, { at: 1.15, of: "ideal" });
}

/** A C project built from one of two hosts of one core each. */
async function make(cwd: string, what: string, size: ProjectSize, rounds: number): Promise<Row> {
  writeProject(cwd, size);
  await using cluster = await startCluster({ n: 2, pin: true, env: LEVELLED });
  const build = async (...before: string[]): Promise<void> => {
    const [file = "make", ...args] = [...before, "make", "-s", `-j${MAKE_JOBS}`, "CC=gcc"];
    const done = await cluster.exec(1, [file, ...args], { cwd, timeoutMs: GUARD_MS });
    if (done.status !== 0) throw new Error(`make: ${done.stderr}`);
    await cluster.output(1, ["make", "-s", "clean"], { cwd });
  };
  await using farm = existsSync(ICECC) ? await Icecream.start(cluster) : null;
  if (!farm) console.log(`make: not compared with icecream, of which there is no ${ICECC} (Debian package icecc)`);
  await build("tesela", "run");
  if (farm) await build(...farm.before);
  const measured: Measured[] = [];
  for (let i = 0; i < rounds; i++) {
    const oneHost = await timed(() => build());
    const levelled = await timed(() => build("tesela", "run"));
    const icecc = farm && (await timed(() => build(...farm.before)));
    measured.push({ value: levelled, limits: { "one host": oneHost, ...(icecc !== null && { icecc }) } });
  }
  return row(`make -j${MAKE_JOBS} on two hosts, ${what}`, "ms", measured, { at: 0.6, of: "one host" });
}

/** icecream (icecc(7)): one scheduler, a daemon on each host. */
class Icecream implements AsyncDisposable {
  readonly before = ["env", "PATH=/usr/lib/icecc/bin:/usr/bin:/bin"];
  private readonly stop: (() => Promise<unknown>)[] = [];

  static async start(cluster: TestCluster): Promise<Icecream> {
    const farm = new Icecream();
    const run = async (host: number, ...argv: [string, ...string[]]): Promise<void> => {
      const service = await cluster.spawn(host, argv, { stdio: ["ignore", "ignore", "ignore"] });
      farm.stop.push(() => {
        process.kill(service.outerPid, "SIGKILL");
        return service.ended;
      });
    };
    await run(1, "icecc-scheduler", "-n", "bench");
    for (const host of [1, 2])
      await run(host, "iceccd", "-n", "bench", "-s", "10.88.0.1", "-m", "1", "-N", `h${host}`, "-b", "/tmp/icecc-envs");
    await sleep(QUIET_MS);
    return farm;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stop of this.stop.splice(0)) await stop();
  }
}
