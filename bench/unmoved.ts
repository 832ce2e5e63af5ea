import { setTimeout as sleep } from "node:timers/promises";
import { type Figure, type Lab, type Row, row } from "./lab.ts";

const COUNT = 200_000;
/** A daemon that starts or ends has the CPUs busy for a while. */
const QUIET_MS = 3000;

/** What Tesela costs a program that never moves: its calls with and without an engine on the node. */
export const unmoved: Figure = {
  title: "a call of a process that never moves",
  programs: ["calls"],
  async measure(lab: Lab, rounds: number): Promise<Row[]> {
    await using program = await lab.start("calls");
    const list = [];
    for (let i = 0; i < rounds; i++) {
      await lab.cluster.kill(1, "tesela-engine", "TERM", { stay: true });
      await sleep(QUIET_MS);
      const without = Number(await program.ask(`write ${COUNT}`));
      await lab.cluster.start(1, "tesela-engine");
      await lab.cluster.exec(1, ["sh", "-c", "until [ -S /run/tesela/engine.sock ]; do sleep 0.05; done"]);
      await sleep(QUIET_MS);
      list.push({ value: Number(await program.ask(`write ${COUNT}`)), limits: { "no engine": without } });
    }
    return [row("4 KiB write", "us", list, { at: 1.05, of: "no engine" })];
  },
};
