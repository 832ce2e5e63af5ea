import { setTimeout as sleep } from "node:timers/promises";
import { engine, migrate } from "../test/cluster/move.ts";
import { type Figure, type Host, type Lab, type Row, row } from "./lab.ts";

const MB = 1e6;
const PROCESSES = 20;
const BIG_MIB = 1024;
const IDLE_MB = 80;
const PER_PROCESS_MB = 1;
/** A figure after this much quiet: buffers that are kept for good are seen, those that were only just dropped are not. */
const QUIET_MS = 5000;

const rss = async (lab: Lab, host: Host): Promise<number> => (await engine<{ rss: number }>(lab.cluster, host, "GET", "/status")).rss / MB;
const one = (what: string, value: number, at: number): Row => row(what, "MB", [{ value, limits: {} }], { at, of: "MB" });

/** Resident memory of an engine: alone, with processes, and after a big one has passed through. */
export const memory: Figure = {
  title: "resident memory of an engine",
  programs: ["calls", "fill"],
  async measure(lab: Lab): Promise<Row[]> {
    const idle = { 1: await rss(lab, 1), 2: await rss(lab, 2) };
    const rows = [one("idle", idle[2], IDLE_MB)];
    await using stack = new AsyncDisposableStack();
    for (let i = 0; i < PROCESSES; i++) {
      const program = stack.use(await lab.start("calls"));
      await migrate(lab.cluster, program.pid, 2);
    }
    await sleep(QUIET_MS);
    const allowed = IDLE_MB + PROCESSES * PER_PROCESS_MB;
    rows.push(one(`home of ${PROCESSES} away`, await rss(lab, 1), allowed), one(`host of ${PROCESSES} guests`, await rss(lab, 2), allowed));
    const big = stack.use(await lab.start("fill", String(BIG_MIB)));
    await big.read();
    await migrate(lab.cluster, big.pid, 2);
    await sleep(QUIET_MS);
    rows.push(one("home, 1 GiB has left", await rss(lab, 1), allowed + 1), one("host, 1 GiB has come", await rss(lab, 2), allowed + 1));
    await migrate(lab.cluster, big.pid, "home");
    await sleep(QUIET_MS);
    rows.push(one("home, 1 GiB is back", await rss(lab, 1), allowed + 1), one("host, 1 GiB has left", await rss(lab, 2), allowed + 1));
    return rows;
  },
};
