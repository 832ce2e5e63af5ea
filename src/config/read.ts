import { readFileSync } from "node:fs";
import { parse, TomlError } from "smol-toml";
import { BALANCE_KNOBS, type BalanceKnobs, PLACE_KNOBS, type PlaceKnobs, USHER_KNOBS, type UsherKnobs } from "../balance/mod.ts";
import { fileTrouble, nearest, TeselaError } from "../base/mod.ts";
import { type GossipKnobs, LAN } from "../cluster/mod.ts";
import { fits, type Row, type Section, type Value, wanted } from "./row.ts";
import { GUEST_DEFAULTS, SECTIONS, type SectionName, sectionNames } from "./sections.ts";

const DEFAULT_FILE = "/etc/tesela/tesela.toml";

/** Every value of every section, defaults filled in. */
export type Values = Readonly<Record<SectionName, Readonly<Record<string, Value>>>>;

export interface PolicySettings {
  readonly level: boolean;
  readonly scope: "levelled" | "all";
  readonly loadlevellist: string;
  readonly rivals: boolean;
}
export interface GuestSettings {
  readonly processes: number;
  /** 0: what suits the machine. */
  readonly memory: number;
  readonly weight: number;
  readonly group: boolean;
}
export interface Settings {
  readonly policy: PolicySettings;
  readonly balance: BalanceKnobs;
  readonly usher: UsherKnobs;
  readonly place: PlaceKnobs;
  readonly gossip: GossipKnobs;
  readonly guests: GuestSettings;
}

/** `$TESELA_CONFIG`, or the system's place. @throws TeselaError E_CONFIG when it is relative */
export function configFile(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const file = env["TESELA_CONFIG"] || DEFAULT_FILE;
  if (!file.startsWith("/")) throw new TeselaError("E_CONFIG", `TESELA_CONFIG is '${file}': want an absolute path`);
  return file;
}

/**
 * The system's file means defaults when it is not there; one that somebody has named has to be.
 * @throws TeselaError E_CONFIG naming the file, the keys, and what is wanted
 */
export function readValues(file: string = configFile(), named: boolean = file !== DEFAULT_FILE): Values {
  let text = "";
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const absent = code === "ENOENT" || code === "ENOTDIR";
    const why = fileTrouble(cause) + (absent ? ": make it, or unset TESELA_CONFIG" : "");
    if (named || !absent) throw new TeselaError("E_CONFIG", `${file}: ${why}`, {}, { cause });
  }
  return valuesOf(text, file);
}

/** @throws as {@link readValues} */
export const readSettings = (file: string = configFile()): Settings => settingsOf(readValues(file));

/** @throws as {@link readValues}; all that is wrong is told at once */
export function valuesOf(text: string, file: string): Values {
  const given = tables(text, file);
  const wrong: string[] = [];
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(SECTIONS, name)) wrong.push(`unknown ${unknownKey(name, "", sectionNames)}`);
  }
  const values = Object.fromEntries(sectionNames.map((name) => [name, sectionValues(name, given[name], wrong)])) as Values;
  if (wrong.length === 0) wrong.push(...contradictions(values));
  if (wrong.length > 0) throw new TeselaError("E_CONFIG", `${file}: ${wrong.join("; ")}`, { file, wrong });
  return values;
}

function tables(text: string, file: string): Record<string, unknown> {
  try {
    return parse(text);
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    // Its further lines show the place, which the first names.
    const [what = ""] = cause.message.split("\n");
    throw new TeselaError("E_CONFIG", `${file}:${cause.line}:${cause.column}: ${what}`, { file }, { cause });
  }
}

function sectionValues(name: SectionName, given: unknown, wrong: string[]): Record<string, Value> {
  const { rows }: Section = SECTIONS[name];
  const values: Record<string, Value> = Object.fromEntries(Object.entries(rows).map(([key, row]) => [key, row.default]));
  if (given === undefined) return values;
  if (typeof given !== "object" || given === null || Array.isArray(given) || given instanceof Date) {
    wrong.push(`${name} is ${shown(given)}: want a table, [${name}]`);
    return values;
  }
  for (const [key, value] of Object.entries(given)) {
    const row: Row | undefined = Object.hasOwn(rows, key) ? rows[key] : undefined;
    if (!row) wrong.push(`unknown ${unknownKey(key, `${name}.`, Object.keys(rows))}`);
    else if (!fits(row, value)) wrong.push(`${name}.${key} is ${shown(value)}: want ${wanted(row)}`);
    else values[key] = value;
  }
  return values;
}

function unknownKey(key: string, before: string, known: readonly string[]): string {
  const near = nearest(key, known);
  return `key ${before}${key}: want ${near ? `${before}${near}` : `one of ${known.join(", ")}`}`;
}

const shown = (value: unknown): string => (typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value)));

/** What only together makes no sense. */
function contradictions({ cost, gossip }: Values): string[] {
  const wrong: string[] = [];
  const { lowMarkMin = 0, lowMarkMax = 0 } = cost;
  if (lowMarkMin > lowMarkMax) wrong.push(`cost.lowMarkMin is ${lowMarkMin}: want at most cost.lowMarkMax, ${lowMarkMax}`);
  const { probeMs = 0, probeTimeoutMs = 0 } = gossip;
  if (probeTimeoutMs >= probeMs) wrong.push(`gossip.probeTimeoutMs is ${probeTimeoutMs}: want less than gossip.probeMs, ${probeMs}`);
  return wrong;
}

/** Values in the shapes of those who use them. */
export function settingsOf(v: Values): Settings {
  const { level, scope, loadlevellist, rivals } = v.balance;
  return {
    policy: {
      level: level === true,
      scope: scope === "all" ? "all" : "levelled",
      loadlevellist: String(loadlevellist),
      rivals: rivals === true,
    },
    balance: fill(BALANCE_KNOBS, v.cost, v.balance),
    usher: fill(USHER_KNOBS, v.cost, v.usher),
    place: fill(PLACE_KNOBS, v.cost, v.place),
    gossip: fill(LAN, v.gossip),
    guests: fill<GuestSettings>(GUEST_DEFAULTS, v.guests),
  };
}

/** The same keys as the defaults have; the sections were checked against the same tables. */
function fill<T extends object>(defaults: T, ...given: readonly Readonly<Record<string, Value>>[]): T {
  const all: Record<string, Value> = Object.assign({}, ...given);
  const taken = Object.keys(defaults).map((key) => [key, all[key]]);
  return { ...defaults, ...Object.fromEntries(taken) };
}
