import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { readSmall } from "./read.ts";
import { STANDARD_SPEED } from "./sampler.ts";

/**
 * The yardstick: how fast one CPU of this node is. A fixed piece of work, half of it with integers in a table that fits into the first-level cache and
 * half with floating-point numbers, is timed by the CPU time that it takes, so that a busy machine does not count as a slow one.
 */

/**
 * Rounds of work a second on the reference processor, which has the speed 10000: one CPU of an Intel Xeon of the Emerald Rapids generation (family 6,
 * model 207, nominally 2.1 GHz) under Node.js 24.
 */
export const REFERENCE_ROUNDS = 1300;
/** Changes with the work: what was measured with another is measured anew. */
const VERSION = 1;

// Many and short: a CPU whose sibling is busy is slower, and some try may have it alone.
const TRIES = 30;
const ROUNDS = 8;
const WARM_UP_ROUNDS = 40;
/** The best are a little too good at times, as the accounting of CPU time goes: this many are put aside. */
const SET_ASIDE = 2;
/** Speeds are told in steps of a hundredth of the reference: finer differences are noise. */
const STEP = 100;
const TABLE = 4096;
const INTEGER_STEPS = 120_000;
const FLOAT_STEPS = 60_000;

/** xorshift32 (Marsaglia, 2003) through a table, as hashing and parsing do. */
function integers(table: Uint32Array, seed: number): number {
  let x = seed | 1;
  for (let i = 0; i < INTEGER_STEPS; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    const at = x & (TABLE - 1);
    table[at] = Math.imul((table[at] ?? 0) + x, 0x9e3779b1) >>> 0;
  }
  return table[x & (TABLE - 1)] ?? 0;
}

/** Iterations of z = z^2 + c, as numerical programs multiply and add. */
function floats(seed: number): number {
  const cr = -0.74 + (seed % 7) * 1e-4;
  const ci = 0.11;
  let [zr, zi, sum] = [0, 0, 0];
  for (let i = 0; i < FLOAT_STEPS; i++) {
    const t = zr * zr - zi * zi + cr;
    zi = 2 * zr * zi + ci;
    zr = t;
    if (zr * zr + zi * zi > 4) {
      sum += Math.sqrt(zr * zr + zi * zi);
      zr = zi = 0;
    }
  }
  return sum + zr;
}

function rounds(table: Uint32Array, n: number): number {
  let check = 0;
  for (let i = 0; i < n; i++) check += integers(table, i) + floats(i);
  return check;
}

function cpuSeconds(): number {
  // The kernel brings a running thread's time up to date at its ticks, some milliseconds apart, and when its whole process is asked for
  // (kernel/sched/cputime.c, thread_group_cputime()).
  process.cpuUsage();
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1e6;
}

/** Measures: the best of several tries, some hundred milliseconds of CPU time in all, for which the caller stands still. 10000 is the reference. */
export function measureYardstick(): number {
  const table = new Uint32Array(TABLE);
  let check = rounds(table, WARM_UP_ROUNDS);
  const times: number[] = [];
  for (let i = 0; i < TRIES; i++) {
    const begin = cpuSeconds();
    check += rounds(table, ROUNDS);
    times.push(cpuSeconds() - begin);
  }
  const best = times.sort((a, b) => a - b)[SET_ASIDE] ?? 0;
  // What is not used might not be computed; and a clock of CPU time that stands still measures nothing.
  if (!Number.isFinite(check) || best <= 0) return STANDARD_SPEED;
  return Math.max(STEP, Math.round(((ROUNDS / best / REFERENCE_ROUNDS) * STANDARD_SPEED) / STEP) * STEP);
}

interface Kept {
  readonly version: number;
  readonly model: string;
  readonly speed: number;
}

/** The speed as it was measured once and kept in a file; measured now when there is none, or when this is another processor. */
export function keptYardstick(file: string, measure: () => number = measureYardstick, root = ""): number {
  const model = modelOf(root);
  const kept = load(file);
  if (kept !== null && kept.version === VERSION && kept.model === model) return kept.speed;
  const speed = measure();
  const text = `${JSON.stringify({ version: VERSION, model, speed } satisfies Kept)}\n`;
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
  return speed;
}

const modelOf = (root: string): string => /^model name\s*:\s*(.*)$/m.exec(readSmall(`${root}/proc/cpuinfo`) ?? "")?.[1] ?? "";

/** Null: not there, or not what was written. */
function load(file: string): Kept | null {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw e;
  }
  try {
    const { version, model, speed } = JSON.parse(text) as Record<string, unknown>;
    const good = typeof version === "number" && typeof model === "string" && Number.isInteger(speed) && (speed as number) > 0;
    return good ? { version: version as number, model: model as string, speed: speed as number } : null;
  } catch (e) {
    if (e instanceof SyntaxError) return null;
    throw e;
  }
}
