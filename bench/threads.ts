import { migrate } from "../test/cluster/move.ts";
import { type Figure, type Host, type Lab, type Measured, type Row, row, type Talker } from "./lab.ts";

const COUNTS = [1, 4, 16, 64, 256];
const MOVES = [
  { what: "out", to: 2 },
  { what: "on", to: 3 },
  { what: "home", to: 1 },
] as const satisfies { what: string; to: Host }[];

/** What a move costs a process by the number of its threads, beside a process of one that is moved in the same round. */
export const threads: Figure = {
  title: "freeze time by the number of threads",
  programs: ["threads"],
  async measure(lab: Lab, rounds: number): Promise<Row[]> {
    await using stack = new AsyncDisposableStack();
    const programs: Talker[] = [];
    for (const count of COUNTS) {
      const program = stack.use(await lab.start("threads", String(count)));
      if ((await program.read()) !== "ready") throw new Error("the threads do not begin");
      programs.push(program);
    }
    const measured = new Map<string, Measured[]>();
    const name = (count: number, what: string): string => `${count}, ${what}`;
    for (let i = 0; i < rounds; i++) {
      for (const { what, to } of MOVES) {
        let one = 0;
        for (const [at, program] of programs.entries()) {
          const { freezeMs, totalMs } = await migrate(lab.cluster, program.pid, to);
          if (at === 0) one = freezeMs;
          const key = name(COUNTS[at] ?? 0, what);
          measured.set(key, [...(measured.get(key) ?? []), { value: freezeMs, limits: { "one thread": one, "whole move": totalMs } }]);
          if ((await program.ask("")) !== "same") throw new Error("a thread did not count");
        }
      }
    }
    return COUNTS.flatMap((n) => MOVES.map(({ what }) => row(name(n, what), "ms", measured.get(name(n, what)) ?? [])));
  },
};
