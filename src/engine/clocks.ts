import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { CLOCK } from "../abi/mod.ts";
import { type Log, TeselaError } from "../base/mod.ts";
import { libc } from "../sys/mod.ts";
import type { Data } from "../wire/mod.ts";
import { bigintOf } from "./asks.ts";
import { Sys } from "./numbers.ts";

/**
 * The clocks that count from a machine's boot. A program reads home's wherever it runs: on a node with other clocks its guest gets a time
 * namespace (time_namespaces(7)) that shows them as home does. See docs/decisions/0034.
 */
export interface Clocks {
  /** Nanoseconds, CLOCK_MONOTONIC; its COARSE variant follows. */
  readonly monotonic: bigint;
  /** Nanoseconds, CLOCK_BOOTTIME. */
  readonly boot: bigint;
}
/** What is to be added to this engine's clocks to get those of another. */
export type Shift = Clocks;

const SECOND = 1_000_000_000n;
/** Clocks that differ by more than a process can have been away are not the same clocks. */
const MAX_AHEAD = 3600n * SECOND;
const time = Buffer.alloc(16);
const timeAt = libc.addressOf(time);

function read(clock: number): bigint {
  libc.syscall("clock_gettime", Sys.clockGettime, clock, timeAt);
  return time.readBigInt64LE(0) * SECOND + time.readBigInt64LE(8);
}

/** What a program beside this engine would read now. */
export const readClocks = (): Clocks => ({ monotonic: read(CLOCK.MONOTONIC), boot: read(CLOCK.BOOTTIME) });

export function shifted(clocks: Clocks, by: Shift | null): Clocks {
  return by ? { monotonic: clocks.monotonic + by.monotonic, boot: clocks.boot + by.boot } : clocks;
}

export const clocksOf = (answer: Data): Clocks => {
  const a = answer as Record<string, Data | undefined>;
  return { monotonic: bigintOf(a.monotonic), boot: bigintOf(a.boot) };
};

/** Questions that a measurement asks: the best of some few is near to the truth; more when all meet a busy moment. */
const SAMPLES = 4;
const MAX_SAMPLES = 12;
/** An answer as quick as this leaves nothing to be gained, nanoseconds. */
const QUICK = 1_000_000n;
const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/**
 * How far another engine's clocks are ahead of ours, at most: an answer shows them at a moment after we asked. What is too much is less
 * than the quickest answer took. Never too little: what waits at home for a moment of its clocks never comes back before that moment.
 */
export async function measureShift(ask: () => Promise<Clocks>): Promise<Shift> {
  let shift: Shift | null = null;
  let quickest = MAX_AHEAD;
  for (let i = 0; i < SAMPLES || (i < MAX_SAMPLES && quickest > QUICK); i++) {
    const asked = readClocks();
    const there = await ask();
    quickest = least(quickest, readClocks().monotonic - asked.monotonic);
    const one = { monotonic: there.monotonic - asked.monotonic, boot: there.boot - asked.boot };
    shift = shift ? { monotonic: least(shift.monotonic, one.monotonic), boot: least(shift.boot, one.boot) } : one;
  }
  return shift as Shift;
}

/** No clock with this shift shows less than `seen`, from now on. */
export function notBefore(shift: Shift, seen: Clocks): Shift {
  const now = readClocks();
  const most = (a: bigint, b: bigint): bigint => (a > b ? a : b);
  return { monotonic: most(shift.monotonic, seen.monotonic - now.monotonic), boot: most(shift.boot, seen.boot - now.boot) };
}

/**
 * Waits until our clocks show what a process has `seen` on another node, whose idea of them was ahead by the error of a measurement, or
 * has run ahead since: a quartz gains or loses some seconds a week where nothing disciplines it.
 * @returns milliseconds that they were behind, however much longer it took to wake up. @throws TeselaError E_PROTOCOL for clocks that are not these
 */
export async function caughtUp(seen: Clocks): Promise<number> {
  for (let first: number | null = null; ; ) {
    const now = readClocks();
    const behind = [seen.monotonic - now.monotonic, seen.boot - now.boot].reduce((a, b) => (a > b ? a : b));
    first ??= Math.max(0, Number(behind) / 1e6);
    if (behind <= 0n) return first;
    if (behind > MAX_AHEAD) throw new TeselaError("E_PROTOCOL", `a process has seen its clocks ${behind / SECOND} s ahead of ours`);
    await sleep(Number(behind / 1_000_000n) + 1);
  }
}

/** The same at the end of a way home, where that may be worth a word. */
export async function waitForHome(seen: Clocks, pid: number, log: Log): Promise<void> {
  const behindMs = Math.round(await caughtUp(seen));
  if (behindMs > FAR_BEHIND_MS) log.warn("home's clocks were behind what a process had seen", { pid, behindMs });
}
/** More than measurements of clocks explain. */
const FAR_BEHIND_MS = 50;

const OFFSETS = "timens_offsets";

/** Nanoseconds by which the time namespace for a task's children shifts the kernel's clocks; nothing where the kernel has none. */
function readOffsets(task: number | "self"): Clocks {
  const file = `/proc/${task}/${OFFSETS}`;
  if (!existsSync(file)) return { monotonic: 0n, boot: 0n };
  const text = readFileSync(file, "utf8");
  const of = (name: string): bigint => {
    const m = new RegExp(`^${name}\\s+(-?\\d+)\\s+(\\d+)`, "m").exec(text);
    return m ? BigInt(m[1] as string) * SECOND + BigInt(m[2] as string) : 0n;
  };
  return { monotonic: of("monotonic"), boot: of("boottime") };
}

/** For a task whose children get a time namespace that nobody is in yet. */
export function writeOffsets(task: number, shift: Shift): void {
  const { monotonic, boot } = shifted(readOffsets("self"), shift);
  const line = (name: string, ns: bigint): string => {
    const rest = ((ns % SECOND) + SECOND) % SECOND;
    return `${name} ${(ns - rest) / SECOND} ${rest}\n`;
  };
  writeFileSync(`/proc/${task}/${OFFSETS}`, line("monotonic", monotonic) + line("boottime", boot));
}

/** True where guests can be given clocks of their own. */
export const canShiftClocks = (): boolean => existsSync(`/proc/self/${OFFSETS}`);

/** Names our clocks: equal names, and they show the same. */
export function clockName(): string {
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const { monotonic, boot: boottime } = readOffsets("self");
  if (monotonic === 0n && boottime === 0n) return boot;
  return `${boot}:${createHash("sha256").update(`${monotonic} ${boottime}`).digest("hex").slice(0, 16)}`;
}
