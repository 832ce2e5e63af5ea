import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { TeselaError } from "../base/mod.ts";
import { readScenario, type Scenario } from "./scenario.ts";

const DIR = fileURLToPath(new URL("scenarios/", import.meta.url));
export const DEFAULT_SCENARIO = "heavy-tail";

/** Names of the scenarios that come with Tesela. */
export const scenarioNames = (): string[] =>
  readdirSync(DIR)
    .filter((f) => f.endsWith(".json"))
    .map((f) => f.slice(0, -".json".length))
    .sort();

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is none of that name, and no such file",
  ENOTDIR: "there is no such file",
  EISDIR: "that is a directory",
  EACCES: "this user may not read that file",
};

/**
 * A scenario that comes with Tesela, by its name, or one in a file.
 * @throws TeselaError E_CONFIG
 */
export function loadScenario(nameOrFile: string): Scenario {
  const own = scenarioNames().includes(nameOrFile);
  const file = own ? `${DIR}${nameOrFile}.json` : nameOrFile;
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    const why = REASONS[(cause as NodeJS.ErrnoException).code ?? ""] ?? (cause as Error).message;
    const hint = `scenarios are ${scenarioNames().join(", ")}, and files as docs/sim.md describes them`;
    throw new TeselaError("E_CONFIG", `scenario '${nameOrFile}': ${why}`, { hint }, { cause });
  }
  return readScenario(text, nameOrFile);
}
