import { setTimeout as sleep } from "node:timers/promises";
import type { Migrated, ProcessRow } from "../daemon/mod.ts";
import type { DemoHost, Started } from "./host.ts";
import { type Job, movingScript } from "./jobs.ts";

/** A job under way: what it is, where it runs, what happened to it. */
export interface Running {
  readonly job: Job;
  readonly started: Started;
  pid: number | null;
  row: ProcessRow | null;
  readonly moves: Migrated[];
  refused: number;
  /** Once it has ended. */
  end: { status: number | null; stdout: string; stderr: string } | null;
}

/** Between two moves: time to see what the last one did. */
const PAUSE_MS = 500;
/** A job that is nearly done ends before it can move, and one may have come home by itself; these are no refusals. */
const NO_REFUSAL = new Set(["E_NOENT_PID", "E_GONE", "E_THERE"]);

export async function startJob(host: DemoHost, job: Job): Promise<Running> {
  const started = host.start(["sh", "-c", movingScript(job)]);
  const running: Running = { job, started, pid: null, row: null, moves: [], refused: 0, end: null };
  void Promise.all([started.status, started.stdout, started.stderr]).then(([status, stdout, stderr]) => {
    running.end = { status, stdout, stderr };
  });
  const note = Number(await started.note);
  running.pid = Number.isInteger(note) && note > 0 ? note : null;
  return running;
}

export interface MoveTold {
  readonly running: Running;
  readonly command: string;
  readonly moved: Migrated | null;
  /** Why it was refused. */
  readonly error: string | null;
}

/**
 * Moves one job after the other with `tesela migrate`, so that each sees every node and home, and goes from node to node without a stop
 * at home too. Ends when all jobs have ended.
 */
export async function moveAround(
  host: DemoHost,
  all: readonly Running[],
  nodes: readonly number[],
  tell: (m: MoveTold) => void,
  signal: AbortSignal,
) {
  const home = nodes[0] ?? 1;
  // Round the nodes, home included; each job begins at another place of the round.
  const round = [...nodes.slice(1), home];
  for (let turn = 0; ; turn++) {
    const alive = all.filter((r) => r.end === null && r.pid !== null);
    if (alive.length === 0) return;
    const running = alive[turn % alive.length] as Running;
    const at = running.row?.node ?? running.moves.at(-1)?.to ?? home;
    const first = all.indexOf(running) % (round.length - 1);
    const to = running.moves.length === 0 ? (round[first] as number) : (round[(round.indexOf(at) + 1) % round.length] as number);
    await move(host, running, to === home ? "home" : String(to), tell);
    // Each one for a first time without delay, since the quickest may end soon.
    if (turn >= all.length) await sleep(PAUSE_MS, undefined, { signal });
    signal.throwIfAborted();
  }
}

async function move(host: DemoHost, running: Running, target: string, tell: (m: MoveTold) => void): Promise<void> {
  const pid = String(running.pid);
  const command = `tesela migrate ${pid} ${target}`;
  const done = await host.run(["tesela", "migrate", pid, target, "--json"]);
  const answer = parse(done.stdout);
  if (done.status === 0 && "freezeMs" in answer) {
    const moved = answer as unknown as Migrated;
    running.moves.push(moved);
    tell({ running, command, moved, error: null });
    return;
  }
  if (NO_REFUSAL.has(String(answer["error"]))) return;
  running.refused++;
  tell({ running, command, moved: null, error: String(answer["message"] ?? (done.stderr.trim() || `status ${done.status}`)) });
}

function parse(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    // The command said something else; its stderr tells what.
    return {};
  }
}
