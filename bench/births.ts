import { migrate } from "../test/cluster/move.ts";
import { type Figure, type Lab, type Measured, type Row, row } from "./lab.ts";

/** Births of each kind, and how many are timed; names as `programs/births.c` knows them. */
const KINDS = [
  { name: "thread", count: 200, what: "thread, joined" },
  { name: "fork", count: 100, what: "fork, waited for" },
  { name: "spawn", count: 30, what: "posix_spawn of /bin/true, waited for" },
] as const;
const PINGS = 500;
const FRAME = 100;

/** Threads and processes that begin and end, away against home. */
export const births: Figure = {
  title: "threads and processes that begin and end",
  programs: ["births"],
  async measure(lab: Lab, rounds: number): Promise<Row[]> {
    await using home = await lab.start("births");
    await using away = await lab.start("births");
    await migrate(lab.cluster, away.pid, 2);
    const rows: Row[] = [];
    for (const { name, count, what } of KINDS) {
      const list: Measured[] = [];
      for (let i = 0; i < rounds; i++) {
        const tcp = await lab.ping(2, 1, FRAME, FRAME, PINGS);
        const limits = { home: Number(await home.ask(`${name} ${count}`)), "tcp node": tcp.node };
        list.push({ value: Number(await away.ask(`${name} ${count}`)), limits });
      }
      rows.push(row(what, "us", list));
    }
    await migrate(lab.cluster, away.pid, "home");
    return rows;
  },
};
