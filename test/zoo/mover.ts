import { setTimeout as sleep } from "node:timers/promises";
import { toTeselaError } from "../../src/base/mod.ts";
import type { TestCluster } from "../cluster/harness.ts";
import { engine, migrate, randomFrom } from "../cluster/move.ts";
import type { Member, Tree } from "./tree.ts";

/** Moving all processes of a program about, each to a node of its own choice. */

const NODES = [1, 2, 3];
/** Moves at the same time. */
const AT_ONCE = 4;
/** The process has ended, or does not run any more though its parent has not looked yet. */
const ENDED: ReadonlySet<string> = new Set(["E_GONE", "E_NOENT_PID"]);
/** It came home of its own at this moment. */
const BUSY: ReadonlySet<string> = new Set(["E_EXISTS"]);

export interface Moves {
  /** Moves made, by the name of the process. */
  readonly made: Map<string, number>;
  /** Named reasons for which a process stayed, and how often. */
  readonly refused: Map<string, number>;
  /** Other errors. The process then runs where it was. */
  readonly failed: Map<string, number>;
}

const count = (map: Map<string, number>, key: string): void => void map.set(key, (map.get(key) ?? 0) + 1);

export interface MoverOptions {
  readonly seed: number;
  /** Pause between two rounds, milliseconds: [least, most]. */
  readonly gap: readonly [number, number];
}

/** Moves every process of the program, over and over, until `end` is over. The seed repeats the choices, as far as time repeats. */
export async function moveAbout(cluster: TestCluster, tree: Tree, program: number, end: Promise<unknown>, o: MoverOptions): Promise<Moves> {
  const moves: Moves = { made: new Map(), refused: new Map(), failed: new Map() };
  const random = randomFrom(o.seed);
  let over = false;
  const note = (): void => {
    over = true;
  };
  const ended = end.then(note, note);
  const [least, most] = o.gap;
  for (;;) {
    await Promise.race([sleep(least + random() * (most - least)), ended]);
    if (over) return moves;
    const members = tree.members(program);
    const at = await places(cluster);
    const todo = members.map((m) => ({ m, to: choose(at.get(m.pid) ?? 1, random()) }));
    const worker = async (): Promise<void> => {
      for (let next = todo.shift(); next !== undefined && !over; next = todo.shift()) await moveOne(cluster, next.m, next.to, moves);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }
}

/** Another node than the one that it is on. */
function choose(at: number, chance: number): number {
  const choices = NODES.filter((n) => n !== at);
  return choices[Math.floor(chance * choices.length)] ?? 1;
}

/** Where the home engine says that its processes are, by PID. */
export async function places(cluster: TestCluster): Promise<Map<number, number>> {
  const rows = await engine<{ pid: number; node: number; role: string }[]>(cluster, 1, "GET", "/processes");
  return new Map(rows.filter((r) => r.role === "home").map((r) => [r.pid, r.node]));
}

async function moveOne(cluster: TestCluster, { pid, name }: Member, to: number, moves: Moves): Promise<void> {
  try {
    await migrate(cluster, pid, to);
    count(moves.made, name);
  } catch (e) {
    const { code, details, message } = toTeselaError(e);
    if (ENDED.has(code) || BUSY.has(code) || /is being moved already/.test(message)) return;
    const reasons = (details.reasons as string[] | undefined) ?? [];
    if (reasons.length === 1 && reasons[0] === "ended") return;
    if (code === "E_CANTMOVE" && reasons.length > 0) for (const r of reasons) count(moves.refused, r);
    else count(moves.failed, `${name}: ${code} ${message.replaceAll(/\b\d+\b/g, "N")}`);
  }
}

export const total = (map: ReadonlyMap<string, number>): number => [...map.values()].reduce((sum, n) => sum + n, 0);
