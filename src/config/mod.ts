/** The configuration file: one table of all settings, which reads, prints and documents them. */
export { readLoadLevelList } from "./loadlevellist.ts";
export { settingsMarkdown, settingsToml } from "./print.ts";
export {
  configFile,
  type GuestSettings,
  type PolicySettings,
  readSettings,
  readValues,
  type Settings,
  settingsOf,
  type Values,
  valuesOf,
} from "./read.ts";
