import { availableParallelism } from "node:os";
import { KiB } from "../src/base/mod.ts";
import { migrate } from "../test/cluster/move.ts";
import { type Figure, type Lab, type Row, row } from "./lab.ts";

const COUNT = 3000;
const WARM_UP = 1000;
/** What travels: a call's frame and its answer take about 100 bytes. */
const FRAME = 100;
/** Busy loops for each CPU, on a home that is overloaded. */
const CROWD = 4;

/** What a call costs a program that is away, beside a TCP round trip of the same bytes between the two hosts. */
export const calls: Figure = {
  title: "round trip of a forwarded call",
  programs: ["calls"],
  async measure(lab: Lab, rounds: number): Promise<Row[]> {
    await using program = await lab.start("calls");
    await migrate(lab.cluster, program.pid, 2);
    const kinds = [
      { name: "getppid", what: "getppid", there: FRAME, crowd: false },
      { name: "4 KiB write", what: "write", there: 4 * KiB, crowd: false },
      { name: "readlink once more", what: "readlink", there: FRAME, crowd: false },
      { name: "getppid, home overloaded", what: "getppid", there: FRAME, crowd: true },
    ];
    const rows: Row[] = [];
    for (const { name, what, there, crowd } of kinds) {
      await using _ = await busyLoops(lab, crowd ? CROWD * availableParallelism() : 0);
      await program.ask(`${what} ${WARM_UP}`);
      const list = [];
      for (let i = 0; i < rounds; i++) {
        const tcp = await lab.ping(2, 1, there, FRAME, COUNT);
        list.push({ value: Number(await program.ask(`${what} ${COUNT}`)), limits: { "tcp c": tcp.c, "tcp node": tcp.node } });
      }
      rows.push(row(name, "us", list, { at: 2, of: "tcp node" }));
    }
    await migrate(lab.cluster, program.pid, "home");
    return rows;
  },
};

/** Programs at home that compute and nothing else. */
async function busyLoops(lab: Lab, count: number): Promise<AsyncDisposable> {
  await using loops = new AsyncDisposableStack();
  for (let i = 0; i < count; i++) {
    const { outerPid, ended } = await lab.cluster.spawn(1, ["sh", "-c", "while :; do :; done"], { stdio: ["ignore", "ignore", "ignore"] });
    loops.defer(async () => {
      process.kill(outerPid, "SIGKILL");
      await ended;
    });
  }
  return loops.move();
}
