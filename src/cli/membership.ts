import { isIP } from "node:net";
import { DEFAULT_PORT, MAX_NODE_ID } from "../base/mod.ts";
import { NODE_NAME } from "../cluster/mod.ts";
import { type Invocation, lastValue } from "./command.ts";
import { usage } from "./parse.ts";

/** A node number given as an option. @throws TeselaError E_USAGE */
export function idValue(call: Invocation, long: string): number | undefined {
  return numberValue(call, long, 1, MAX_NODE_ID);
}

export const portValue = (call: Invocation): number => numberValue(call, "port", 1, 65535) ?? DEFAULT_PORT;

export function nameValue(call: Invocation, long: string): string | undefined {
  const text = lastValue(call, long);
  if (text !== undefined && !NODE_NAME.test(text))
    throw usage(call.command, `--${long} '${text}': want letters, digits and '-', not only digits`);
  return text;
}

/** Where others are to reach a node. @throws TeselaError E_USAGE */
export function addressValue(call: Invocation): string | undefined {
  const text = lastValue(call, "address");
  if (text !== undefined && isIP(text) === 0) throw usage(call.command, `--address '${text}': want an IP address of this machine`);
  return text;
}

function numberValue(call: Invocation, long: string, least: number, most: number): number | undefined {
  const text = lastValue(call, long);
  if (text === undefined) return undefined;
  const n = Number(text);
  if (!/^\d+$/.test(text) || n < least || n > most) throw usage(call.command, `--${long} '${text}': want ${least} to ${most}`);
  return n;
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
const HOUR_S = 3600;
const MAX_TTL_S = 30 * 86_400;

/** How long a token is good, in seconds: `90`, `90s`, `15m`, `1h`, `2d`. */
export function ttlValue(call: Invocation): number {
  const text = lastValue(call, "ttl");
  if (text === undefined) return HOUR_S;
  const m = /^(\d{1,8})([smhd]?)$/.exec(text);
  const seconds = Number(m?.[1]) * (UNITS[m?.[2] || "s"] ?? 1);
  if (!(seconds >= 1 && seconds <= MAX_TTL_S)) throw usage(call.command, `--ttl '${text}': want a time as 90s, 15m, 1h or 2d, at most 30d`);
  return seconds;
}

/** How long certificates are good, in days, parts of days too. */
export function daysValue(call: Invocation): number | undefined {
  const text = lastValue(call, "days");
  if (text === undefined) return undefined;
  const days = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || days <= 0 || days > 7300)
    throw usage(call.command, `--days '${text}': want more than 0, at most 7300`);
  return days;
}
