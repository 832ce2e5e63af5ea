/** For tests: programs that check themselves, moved at any moment, beside the same program left alone. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { toTeselaError } from "../base/mod.ts";
import { SEED, seeded, type TestNodes, TestProgram, tree } from "./test-nodes.ts";

/** Errors that may be met by who knows no more of a process than its PID; all else is a fault. */
const CODES: ReadonlySet<string> = new Set(["E_GONE", "E_NOENT_PID", "E_EXISTS", "E_BUSY"]);
const REASONS = ["ended", "traced", "system"];
const POLL_MS = 10;
/** No run takes a tenth of this. */
const HANG_MS = 60_000;

/**
 * Moves a process to a node, 1 being its home.
 * @param reasons for which it may be refused, beside those that anything may be refused for
 * @returns null when it has been moved, or the code of an error that was to be expected
 */
export async function moved(n: TestNodes, pid: number, to: number, reasons: readonly string[]): Promise<string | null> {
  try {
    await n.home.migrate(pid, to === 1 ? "home" : to);
    return null;
  } catch (e) {
    const { code, message, details } = toTeselaError(e);
    const said = (details.reasons ?? []) as string[];
    const known =
      code === "E_CANTMOVE" ? said.every((r) => REASONS.includes(r) || reasons.includes(r)) : CODES.has(code) && said.length === 0;
    assert.ok(known, `seed ${SEED}: ${code} ${message} ${said}\n${(e as Error).stack}`);
    return code;
  }
}

interface About {
  /** Between two moves, at most. */
  readonly pauseMs: number;
  /** 1 is home. */
  readonly nodes?: readonly number[];
  /** Which of a program's processes moves next: itself unless given. @param any a random number below another one */
  readonly who?: (all: readonly number[], any: (below: number) => number) => number | undefined;
}

/** Moves a program to one node after the other until it has ended. @returns how often */
export async function movedAbout(n: TestNodes, p: TestProgram, { pauseMs, nodes = [1, 2, 3], who }: About): Promise<number> {
  const random = seeded();
  const any = (below: number): number => random.int(below);
  let count = 0;
  while (!/^status/m.test(p.stdout)) {
    const pid = who?.(tree(p.pid), any) ?? p.pid;
    if ((await moved(n, pid, nodes[any(nodes.length)] ?? 1, [])) === null) count++;
    await sleep(random.float() * pauseMs);
  }
  return count;
}

/** Nobody is away, and nothing is left on the nodes. A child that its parent's end has killed may be on its way out. */
export async function nobodyIsLeft(n: TestNodes): Promise<void> {
  const left = (): number => n.nodes.reduce((sum, node) => sum + node.hosting.count, 0) + n.home.awayCount;
  for (let waited = 0; left() > 0 && waited < HANG_MS; waited += POLL_MS) await sleep(POLL_MS);
  assert.equal(left(), 0, `seed ${SEED}`);
}

/** What a program says that is left alone, and that it says the same while it is moved. @returns what `moving` does */
export async function asUnmoved<T>(
  n: TestNodes,
  path: string,
  args: readonly string[],
  moving: (program: TestProgram) => Promise<T>,
): Promise<{ readonly said: string; readonly moves: T }> {
  using alone = await TestProgram.start(n.tracees, path, ...args);
  const want = await alone.end();
  using about = await TestProgram.start(n.tracees, path, ...args);
  const moves = await moving(about);
  assert.equal(await about.end(), want, `seed ${SEED}, moves: ${String(moves)}\n${n.logged.slice(-8000)}`);
  await nobodyIsLeft(n);
  return { said: want, moves };
}
