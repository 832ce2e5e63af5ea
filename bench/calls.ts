import { KiB } from "../src/base/mod.ts";
import { migrate } from "../test/cluster/move.ts";
import { type Figure, type Lab, type Row, row } from "./lab.ts";

const COUNT = 3000;
const WARM_UP = 1000;
/** What travels: a call's frame and its answer take about 100 bytes. */
const FRAME = 100;

/** What a call costs a program that is away, beside a TCP round trip of the same bytes between the two hosts. */
export const calls: Figure = {
  title: "round trip of a forwarded call",
  programs: ["calls"],
  async measure(lab: Lab, rounds: number): Promise<Row[]> {
    await using program = await lab.start("calls");
    await migrate(lab.cluster, program.pid, 2);
    const kinds = [
      { what: "getppid", there: FRAME },
      { what: "write", there: 4 * KiB },
    ];
    const rows: Row[] = [];
    for (const { what, there } of kinds) {
      await program.ask(`${what} ${WARM_UP}`);
      const list = [];
      for (let i = 0; i < rounds; i++) {
        const tcp = await lab.ping(2, 1, there, FRAME, COUNT);
        list.push({ value: Number(await program.ask(`${what} ${COUNT}`)), limits: { "tcp c": tcp.c, "tcp node": tcp.node } });
      }
      rows.push(row(what === "write" ? "4 KiB write" : what, "us", list, { at: 2, of: "tcp node" }));
    }
    await migrate(lab.cluster, program.pid, "home");
    return rows;
  },
};
