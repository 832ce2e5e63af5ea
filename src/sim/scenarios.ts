import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { fileTrouble, TeselaError } from "../base/mod.ts";
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
    const none = (cause as NodeJS.ErrnoException).code === "ENOENT" ? "there is none of that name, and " : "";
    const why = none + fileTrouble(cause);
    const hint = `scenarios are ${scenarioNames().join(", ")}, and files as docs/sim.md describes them`;
    throw new TeselaError("E_CONFIG", `scenario '${nameOrFile}': ${why}`, { hint }, { cause });
  }
  return readScenario(text, nameOrFile);
}
