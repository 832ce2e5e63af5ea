import { setTimeout as sleep } from "node:timers/promises";
import { type Figure, type Lab, type Measured, type Row, row } from "./lab.ts";
import { writeProject } from "./project.ts";

/** A daemon that starts or ends has the CPUs busy for a while. */
const QUIET_MS = 3000;
/** What bash(1) says of a command that it times: seconds that passed, and of CPU time in user and system mode. */
const TIMED = "TIMEFORMAT='%R %U %S'; time make -s -j4 CC=gcc >/dev/null";
const TARGET = { at: 1.02, of: "plain" } as const;

/** What Tesela costs a build that it has started, and may move, but does not: beside the same build on a node without an engine. */
export const tracer: Figure = {
  title: "a make -j4 that is not moved",
  programs: [],
  async measure(lab: Lab, rounds: number): Promise<Row[]> {
    const { cluster } = lab;
    const cwd = `${lab.dir}/project`;
    writeProject(cwd);
    const build = async (...before: string[]): Promise<{ wall: number; cpu: number }> => {
      await cluster.output(1, ["make", "-s", "clean"], { cwd });
      const [file = "bash", ...args] = [...before, "bash", "--norc", "-c", TIMED];
      const done = await cluster.exec(1, [file, ...args], { cwd });
      const [wall, user, system] = done.stderr.trim().split(" ").map(Number);
      if (done.status !== 0 || wall === undefined || user === undefined || system === undefined) throw new Error(`make: ${done.stderr}`);
      return { wall: wall * 1e3, cpu: (user + system) * 1e3 };
    };
    // Programs are watched as they begin, and weighed each second; nobody takes them.
    await cluster.output(1, ["tesela", "loadlevel", "on"]);
    for (const node of ["2", "3"]) await cluster.output(1, ["tesela", "ctl", "block", "--node", node]);
    await build();
    const walls: Measured[] = [];
    const cpus: Measured[] = [];
    for (let i = 0; i < rounds; i++) {
      await cluster.kill(1, "tesela-engine", "TERM", { stay: true });
      await sleep(QUIET_MS);
      const plain = await build();
      await cluster.start(1, "tesela-engine");
      await cluster.exec(1, ["sh", "-c", "until [ -S /run/tesela/engine.sock ]; do sleep 0.05; done"]);
      await sleep(QUIET_MS);
      const run = await build("tesela", "run");
      walls.push({ value: run.wall, limits: { plain: plain.wall } });
      cpus.push({ value: run.cpu, limits: { plain: plain.cpu } });
    }
    return [row("time that passes", "ms", walls, TARGET), row("CPU time", "ms", cpus, TARGET)];
  },
};
