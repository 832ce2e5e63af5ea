/** Processes of many threads that are moved at any moment, with all that their threads wait for, signal, start and end. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type ProgramName, program } from "../../test/programs/build.ts";
import { asUnmoved, moved } from "./test-moves.ts";
import { SEED, seeded, TestNodes, tree } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";

/** Time to be moved away before the first round, and between the ends of the other modes. */
const PAUSE_MS = 500;
const MOST_PAUSE_MS = 8000;
const ROUNDS = 4;
/** For one run: those take ten seconds, of a busy machine a minute. */
const HANG_MS = 150_000;

/** Why such a process may stay. */
const REASONS = ["vfork", "clone_vm", "stopped", "leader_exit"];
/** Beside them, of one whose threads have descriptors of their own. */
const APART = "unshared_files";

/** Moves the process, or one that it has started, again and again until it has ended. Gives the moves made. */
async function hunt(n: TestNodes, pid: number, mostMs: number, reasons: readonly string[]): Promise<number> {
  const random = seeded();
  let moves = 0;
  const hang = setTimeout(() => {
    const waits = ["status", "wchan", "syscall"].map((f) => readFileSync(`/proc/${pid}/${f}`, "utf8")).join("\n");
    assert.fail(`seed ${SEED}: it hangs after ${moves} moves\n${waits}\n${n.logged.slice(-4000)}`);
  }, HANG_MS);
  using _ = { [Symbol.dispose]: () => clearTimeout(hang) };
  for (let first = true; tree(pid).length > 0; first = false) {
    const all = tree(pid);
    // Mostly the process itself: its threads are what this is about.
    const one = !first && random.int(4) === 0 ? (all[random.int(all.length)] ?? pid) : pid;
    const to = first ? 2 : random.int(8) === 0 ? 1 : 2 + random.int(2);
    const error = await moved(n, one, to, reasons);
    if (error === null) moves++;
    if (error === "E_NOENT_PID" && one === pid) break;
    await sleep(random.float() * mostMs);
  }
  return moves;
}

/** @param args for a program that is there for so many ms before it begins, or ends */
async function compare(args: (pauseMs: number) => readonly string[], least: number, name: ProgramName = "threads"): Promise<void> {
  // Where moves take long the program is over before it has been moved often enough to tell.
  for (let pause = PAUSE_MS; ; pause *= 2) {
    await using n = await TestNodes.start(3);
    const { moves } = await asUnmoved(n, program(name), args(pause), ({ pid }) =>
      hunt(n, pid, 10, args(pause)[0] === "apart" ? [...REASONS, APART] : REASONS),
    );
    if (moves >= least) return;
    assert.ok(pause < MOST_PAUSE_MS, `${moves} moves`);
  }
}

test("threads moved at random do what they do unmoved", { skip, timeout: 300_000 }, async () => {
  await compare((pause) => [String(ROUNDS), "7", String(pause)], 10);
});

test("memory stays registered for membarrier(2), wherever it was registered", { skip, timeout: 300_000 }, async () => {
  await compare((pause) => [String(3 * pause)], 5, "barriers");
});

const MODES: readonly (readonly string[])[] = [
  ["leader"],
  ["group"],
  ["return"],
  ["exec"],
  ["crash"],
  ["crash", "15"],
  ["tasks"],
  ["apart"],
  ["wait"],
];
for (const [mode = "", ...more] of MODES) {
  test(`threads ${mode} ${more.join(" ")}: ends as it does unmoved`, { skip, timeout: 300_000 }, async () => {
    await compare((pause) => [mode, String(pause), ...more], 2);
  });
}
