import { existsSync } from "node:fs";
import { configFile, readLoadLevelList, readValues, settingsOf, settingsToml } from "../../config/mod.ts";
import { DONE, type Invocation } from "../command.ts";
import { print, printJson } from "../out.ts";

/** The settings that hold, or what is wrong with the file. */
export function run(call: Invocation): Promise<number> {
  const file = configFile();
  const values = readValues(file);
  // A daemon would refuse it too.
  readLoadLevelList(settingsOf(values).policy.loadlevellist);
  const from = existsSync(file) ? `The settings of ${file}, and defaults for what it does not say.` : `Defaults: there is no ${file}.`;
  if (call.json) printJson({ file, settings: values });
  else print(settingsToml(values, from));
  return Promise.resolve(DONE);
}
