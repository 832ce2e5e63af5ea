import { TeselaError } from "../base/mod.ts";
import type { Needs, Offer } from "../balance/mod.ts";
import { readHints } from "./hints.ts";
import type { ControlAsk, MaskAsk, MigrateAsk, RoomAsk, RunAsk, TraceAsk } from "./shapes.ts";

/** What comes in as JSON, checked. All throw TeselaError E_USAGE. */

/** A command becomes its program by one execve, or by few (env, a wrapper). */
const MAX_EXECS = 8;

export function migrateAsk(body: unknown): MigrateAsk {
  const { pid, target, why = false, force = false } = (body ?? {}) as Record<string, unknown>;
  if (typeof pid !== "string" || typeof target !== "string" || typeof why !== "boolean" || typeof force !== "boolean") {
    throw new TeselaError("E_USAGE", 'POST /migrate: want {"pid":"4711","target":"2"}');
  }
  return { pid, target, why, ...(force && { force }) };
}

export function traceAsk(body: unknown): TraceAsk {
  const { pid, session = null, close = false } = (body ?? {}) as Record<string, unknown>;
  const good = typeof pid === "string" && (session === null || typeof session === "string") && typeof close === "boolean";
  if (!good) throw new TeselaError("E_USAGE", 'POST /trace: want {"pid":"4711","session":null}');
  return { pid: pid as string, session: session as string | null, close: close as boolean };
}

export function controlAsk(body: unknown): ControlAsk {
  const { verb, node, value, values } = (body ?? {}) as Record<string, unknown>;
  const optional = ["undefined", "string"].includes(typeof node) && ["undefined", "number"].includes(typeof value);
  const list = values === undefined || (Array.isArray(values) && values.every((v) => typeof v === "number"));
  if (typeof verb !== "string" || !optional || !list) throw new TeselaError("E_USAGE", 'POST /ctl: want {"verb":"block"}');
  const numbers = { ...(value !== undefined && { value: value as number }), ...(values !== undefined && { values: values as number[] }) };
  return { verb, ...(node !== undefined && { node: node as string }), ...numbers };
}

export function maskAsk(body: unknown): MaskAsk {
  const { pid, mask } = (body ?? {}) as Record<string, unknown>;
  if (typeof pid !== "string" || (mask !== null && (typeof mask !== "string" || readHints({ mask }) === null)))
    throw new TeselaError("E_USAGE", 'POST /mask: want {"pid":"4711","mask":"1-4,7"}');
  return { pid, mask };
}

export function roomAsk(body: unknown): RoomAsk {
  const { pid, queue, memory, node, list, mask, best = false, waitedMs } = (body ?? {}) as Record<string, unknown>;
  const numbers = [pid, memory, waitedMs].every((n) => Number.isInteger(n) && (n as number) >= 0);
  const where = (node === undefined || typeof node === "string") && readHints({ mask: list }) !== null && readHints({ mask }) !== null;
  if (!numbers || !where || typeof queue !== "boolean" || typeof best !== "boolean")
    throw new TeselaError("E_USAGE", 'POST /room: want {"pid":4711,"queue":true,"memory":0,"waitedMs":0}');
  return body as RoomAsk;
}

export function whyAsk(body: unknown): string {
  const { pid } = (body ?? {}) as Record<string, unknown>;
  if (typeof pid !== "string" || !/^(\d{1,5}:)?\d{1,7}$/.test(pid)) throw new TeselaError("E_USAGE", 'POST /why: want {"pid":"4711"}');
  return pid;
}

export function runAsk(body: unknown): RunAsk {
  const { pid, target, execs = 1, lock = false, hints = {} } = (body ?? {}) as Record<string, unknown>;
  const said = readHints(hints);
  if (said === null) throw new TeselaError("E_USAGE", 'POST /run: hints: want {"job":"cpu","decay":"slow","mask":"1-4,7"} or some of that');
  const few = Number.isInteger(execs) && (execs as number) >= 1 && (execs as number) <= MAX_EXECS;
  const good = Number.isInteger(pid) && (typeof target === "string" || target === null) && few && typeof lock === "boolean";
  if (!good) throw new TeselaError("E_USAGE", 'POST /run: want {"pid":4711,"target":"2"}');
  return { pid: pid as number, target: target as string | null, execs: execs as number, lock: lock as boolean, hints: said };
}

export function needsAsk(body: unknown): Needs {
  const { tasks, rss } = (body ?? {}) as Record<string, unknown>;
  if (![tasks, rss].every((n) => typeof n === "number" && Number.isFinite(n) && n >= 0))
    throw new TeselaError("E_USAGE", 'POST /room/here: want {"tasks":1,"rss":0}');
  return { tasks: tasks as number, rss: rss as number };
}

const MOTIVES: readonly string[] = ["load", "memory", "owner", "home", "expel"];

export function offerAsk(body: unknown): Offer {
  const { motive, comesHome, tasks, rss, load, growth, lasts } = (body ?? {}) as Record<string, unknown>;
  const numbers = [tasks, rss, load, growth, lasts].every((n) => typeof n === "number" && Number.isFinite(n) && n >= 0);
  if (typeof motive !== "string" || !MOTIVES.includes(motive) || typeof comesHome !== "boolean" || !numbers)
    throw new TeselaError(
      "E_USAGE",
      'POST /offer: want {"motive":"load","comesHome":false,"tasks":1,"rss":0,"load":2,"growth":0,"lasts":5}',
    );
  const [a, b, c, d, e] = [tasks, rss, load, growth, lasts] as [number, number, number, number, number];
  return { motive: motive as Offer["motive"], comesHome, tasks: a, rss: b, load: c, growth: d, lasts: e };
}
