import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
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
    const hint = `there are ${scenarioNames().join(", ")}, and files`;
    throw new TeselaError("E_CONFIG", `no scenario '${nameOrFile}': ${(cause as Error).message}`, { hint }, { cause });
  }
  return readScenario(text, own ? nameOrFile : basename(nameOrFile));
}
