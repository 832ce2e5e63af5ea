import { existsSync, readFileSync } from "node:fs";
import { type Paths, TeselaError } from "../base/mod.ts";
import { writeWhole } from "./config.ts";

/** `discovery.json`: how a node calls out to find the others. teselad follows it while it runs. */
export interface DiscoverySettings {
  readonly on: boolean;
  /** Names of network interfaces; null: all that are not loopback. */
  readonly interfaces: readonly string[] | null;
  /** Addresses or names that are told as well, for networks where multicast does not pass. */
  readonly seeds: readonly string[];
  /** How many routers a call may pass. */
  readonly ttl: number;
}

export const DISCOVERY_DEFAULTS: DiscoverySettings = { on: true, interfaces: null, seeds: [], ttl: 1 };
export const MAX_SEEDS = 64;

export const discoveryFile = (paths: Paths): string => `${paths.state}/discovery.json`;

/** @throws E_CONFIG */
export function readDiscovery(paths: Paths): DiscoverySettings {
  const file = discoveryFile(paths);
  if (!existsSync(file)) return DISCOVERY_DEFAULTS;
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new TeselaError("E_CONFIG", `${file}: ${(cause as Error).message}`, {}, { cause });
  }
  const { on, interfaces, seeds, ttl } = { ...DISCOVERY_DEFAULTS, ...(value as object) } as { readonly [name: string]: unknown };
  const texts = (v: unknown): v is string[] =>
    Array.isArray(v) && v.length <= MAX_SEEDS && v.every((t) => typeof t === "string" && t !== "");
  if (typeof on !== "boolean") throw new TeselaError("E_CONFIG", `${file}: 'on' is true or false`);
  if (interfaces !== null && !texts(interfaces)) throw new TeselaError("E_CONFIG", `${file}: 'interfaces' is null or a list of names`);
  if (!texts(seeds)) throw new TeselaError("E_CONFIG", `${file}: 'seeds' is a list of at most ${MAX_SEEDS} addresses`);
  if (!Number.isInteger(ttl) || (ttl as number) < 1 || (ttl as number) > 255)
    throw new TeselaError("E_CONFIG", `${file}: 'ttl' is 1 to 255`);
  return { on, interfaces, seeds, ttl: ttl as number };
}

export const writeDiscovery = (paths: Paths, settings: DiscoverySettings): void => writeWhole(discoveryFile(paths), settings);
