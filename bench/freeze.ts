import { MiB } from "../src/base/mod.ts";
import { migrate, type Moved } from "../test/cluster/move.ts";
import { type Figure, type Host, type Lab, type Measured, type Row, row } from "./lab.ts";

const SIZES = [4, 256, 1024];
/** Each move with the two hosts that its bytes go between. */
const MOVES = [
  { what: "out", from: 1, to: 2 },
  { what: "on", from: 2, to: 3 },
  { what: "home", from: 3, to: 1 },
] as const satisfies { what: string; from: Host; to: Host }[];
const TARGET_MIB = 1024;

/** How long a process does not run when it is moved, beside the time that plain TCP needs for its bytes. */
export const freeze: Figure = {
  title: "freeze time of a move",
  programs: ["fill", "warm"],
  async measure(lab: Lab, rounds: number): Promise<Row[]> {
    const rows: Row[] = [];
    for (const mib of SIZES) {
      await using program = await lab.start("fill", String(mib));
      if ((await program.read()) !== "ready") throw new Error("fill does not fill");
      const measured = new Map(MOVES.map((m) => [m.what as string, [] as Measured[]]));
      for (let i = 0; i < rounds; i++) {
        for (const { what, from, to } of MOVES) {
          const tcp = await lab.pour(from, to, mib * MiB);
          await lab.warm(2 * mib);
          const moved: Moved = await migrate(lab.cluster, program.pid, to);
          if (moved.bytes < mib * MiB) throw new Error(`only ${moved.bytes} bytes were carried`);
          measured.get(what)?.push({ value: moved.freezeMs, limits: { "tcp c": tcp.c, "tcp node": tcp.node } });
        }
        if ((await program.ask("")) !== "same") throw new Error("the memory has changed");
      }
      for (const [what, list] of measured) {
        rows.push(row(`${mib} MiB ${what}`, "ms", list, mib === TARGET_MIB ? { at: 1.3, of: "tcp node" } : undefined));
      }
    }
    return rows;
  },
};
