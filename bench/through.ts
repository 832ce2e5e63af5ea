import { KiB, MiB } from "../src/base/mod.ts";
import { migrate } from "../test/cluster/move.ts";
import { type Figure, type Host, type Lab, type Measured, type Row, row } from "./lab.ts";

const SIZES = [
  { name: "4 KiB", size: 4 * KiB, bytes: 4 * MiB },
  { name: "64 KiB", size: 64 * KiB, bytes: 64 * MiB },
  { name: "1 MiB", size: MiB, bytes: 256 * MiB },
] as const;
/** Where the bytes come from in each way. */
const WAYS = [
  { way: "read", from: 1, to: 2 },
  { way: "write", from: 2, to: 1 },
] as const satisfies { way: string; from: Host; to: Host }[];
/** Half of what plain TCP carries is twice its time. */
const TARGET = { at: 2, of: "tcp node" } as const;

/** How long bytes take to be read from home, and written to it, beside the same at home, and the same bytes on TCP. */
export const through: Figure = {
  title: "reading and writing through home",
  programs: ["through"],
  async measure(lab: Lab, rounds: number): Promise<Row[]> {
    await using home = await lab.start("through");
    await using away = await lab.start("through");
    await migrate(lab.cluster, away.pid, 2);
    const rows: Row[] = [];
    for (const { name, size, bytes } of SIZES) {
      for (const kind of ["file", "pipe"]) {
        for (const { way, from, to } of WAYS) {
          const list: Measured[] = [];
          const order = `${way} ${kind} ${size} ${bytes}`;
          await away.ask(order);
          for (let i = 0; i < rounds; i++) {
            const tcp = await lab.pour(from, to, bytes);
            const limits = { home: Number(await home.ask(order)), "tcp c": tcp.c, "tcp node": tcp.node };
            list.push({ value: Number(await away.ask(order)), limits });
          }
          rows.push(row(`${way} ${kind}, ${bytes / MiB} MiB in ${name}`, "ms", list, size === MiB ? TARGET : undefined));
        }
      }
    }
    await migrate(lab.cluster, away.pid, "home");
    return rows;
  },
};
