import { KiB, MiB } from "../src/base/mod.ts";
import { migrate } from "../test/cluster/move.ts";
import { type Figure, type Lab, type Measured, type Row, row } from "./lab.ts";

/** A call's frame and its answer, about. */
const FRAME = 100;
const COUNT = 1000;
const PINGS = 500;
/** Calls of this many bytes and more are made less often. */
const BIG = 64 * KiB;
const FEW = 100;

interface Class {
  readonly name: string;
  /** Round trips to home that the call takes; 0 for what the guest's own kernel does. */
  readonly trips: number;
  /** Bytes that travel to home, and back, each trip. */
  readonly there?: number;
  readonly back?: number;
}

/** Names as `programs/classes.c` knows them. */
const CLASSES: readonly Class[] = [
  { name: "getppid", trips: 1 },
  { name: "stat", trips: 1 },
  { name: "open+close", trips: 2 },
  { name: "pipe-write", trips: 1 },
  { name: "pipe-read", trips: 1 },
  { name: "socket-write", trips: 1 },
  { name: "socket-read", trips: 1 },
  { name: "file-read", trips: 1 },
  { name: "file-write", trips: 1 },
  { name: "file-read-64k", trips: 1, back: 64 * KiB },
  { name: "file-write-64k", trips: 1, there: 64 * KiB },
  { name: "file-read-1m", trips: 1, back: MiB },
  { name: "file-write-1m", trips: 1, there: MiB },
  { name: "poll", trips: 1 },
  { name: "epoll", trips: 1 },
  { name: "ioctl", trips: 1 },
  { name: "kill", trips: 1 },
  { name: "raise", trips: 0 },
  { name: "futex", trips: 0 },
  { name: "clock", trips: 0 },
  { name: "mmap", trips: 0 },
];

/** What calls of each kind cost a program that is away, beside the same program at home, and TCP round trips of the same bytes. */
export const classes: Figure = {
  title: "calls of each class",
  programs: ["classes"],
  async measure(lab: Lab, rounds: number): Promise<Row[]> {
    await using home = await lab.start("classes");
    await using away = await lab.start("classes");
    await migrate(lab.cluster, away.pid, 2);
    const rows: Row[] = [];
    for (const { name, trips, there = FRAME, back = FRAME } of CLASSES) {
      const big = Math.max(there, back) >= BIG;
      const list: Measured[] = [];
      for (let i = 0; i < rounds; i++) {
        const tcp = trips > 0 ? await lab.ping(2, 1, there, back, big ? FEW : PINGS) : null;
        const at = async (who: typeof home): Promise<number> => Number(await who.ask(`${name} ${big ? FEW : COUNT}`));
        const limits = { home: await at(home), ...(tcp && { "tcp c": tcp.c * trips, "tcp node": tcp.node * trips }) };
        list.push({ value: await at(away), limits });
      }
      rows.push(row(name, "us", list));
    }
    await migrate(lab.cluster, away.pid, "home");
    return rows;
  },
};
