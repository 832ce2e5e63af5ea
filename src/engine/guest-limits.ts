import { totalmem } from "node:os";
import { MiB, TeselaError } from "../base/mod.ts";
import { type GuestSettings, settingsOf, valuesOf } from "../config/mod.ts";

/** What the guests of a node may use of it, together. */
export interface GuestLimits {
  /** Processes: no more are taken in, and a guest that would have one more child goes home and has it there. */
  readonly processes: number;
  /** Tasks of theirs, the kernel's own limit behind that one: threads count, and the idle init of each PID namespace. */
  readonly tasks: number;
  /** Bytes of memory. The kernel takes pages away from guests that have nearly so much; from there on it ends the largest of them. */
  readonly memory: number;
  /** Per cent of an ordinary process's claim on a CPU that others want too; on an idle one guests run at full speed. */
  readonly weight: number;
  /** Whether control groups are made for it. */
  readonly group: boolean;
}

const TASKS_PER_PROCESS = 16;
const SPARE_TASKS = 256;
/** Memory that stays the owner's: a part of it, at least so much, but on a small machine not more than most of it. */
const RESERVE = { part: 1 / 16, least: 256 * MiB, most: 1 / 4 } as const;

export function defaultMemory(total: number): number {
  return Math.floor(total - Math.min(Math.max(total * RESERVE.part, RESERVE.least), total * RESERVE.most));
}

/**
 * `TESELA_GUEST_PROCESSES`, `TESELA_GUEST_MEMORY` (bytes), `TESELA_GUEST_WEIGHT` (per cent), `TESELA_GUEST_GROUP=off`, or else what
 * the settings say: unless given, their defaults.
 * @throws TeselaError E_CONFIG
 */
export function readGuestLimits(
  env: Readonly<Record<string, string | undefined>> = process.env,
  settings: GuestSettings = settingsOf(valuesOf("", "")).guests,
): GuestLimits {
  const number = (name: string, fallback: number, most = Number.MAX_SAFE_INTEGER): number => {
    const text = env[name] || String(fallback);
    const n = Number(text);
    if (!Number.isInteger(n) || n < 1 || n > most)
      throw new TeselaError("E_CONFIG", `${name} is '${text}': want a whole number, 1 to ${most}`);
    return n;
  };
  const group = env["TESELA_GUEST_GROUP"] || (settings.group ? "on" : "off");
  if (group !== "on" && group !== "off") throw new TeselaError("E_CONFIG", `TESELA_GUEST_GROUP is '${group}': want on or off`);
  const processes = number("TESELA_GUEST_PROCESSES", settings.processes, MAX_PROCESSES);
  return {
    processes,
    tasks: processes * TASKS_PER_PROCESS + SPARE_TASKS,
    memory: number("TESELA_GUEST_MEMORY", settings.memory || defaultMemory(totalmem())),
    weight: number("TESELA_GUEST_WEIGHT", settings.weight, 100),
    group: group === "on",
  };
}
const MAX_PROCESSES = 1 << 22;
