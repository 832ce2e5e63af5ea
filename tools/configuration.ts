/**
 * Writes the tables of docs/configuration.md from the one that reads the configuration: `npm run docs`. With `--check` it writes nothing and
 * says whether the page is up to date.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { settingsMarkdown } from "../src/config/mod.ts";
import { ROOT } from "./files.ts";

const PAGE = join(ROOT, "docs/configuration.md");
const BEGIN = "<!-- settings: written by tools/configuration.ts -->\n";
const END = "<!-- end of settings -->\n";

/** The page with its tables replaced. @throws Error when it has lost its markers */
export function withSettings(page: string, tables: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`docs/configuration.md: no '${BEGIN.trim()}' before '${END.trim()}'`);
  return `${page.slice(0, begin + BEGIN.length)}\n${tables}\n${page.slice(end)}`;
}

if (import.meta.main) {
  const page = readFileSync(PAGE, "utf8");
  const fresh = withSettings(page, settingsMarkdown());
  if (process.argv.includes("--check")) {
    if (fresh !== page) console.error("docs/configuration.md is not what src/config says: run `npm run docs`");
    process.exitCode = fresh === page ? 0 : 1;
  } else {
    writeFileSync(PAGE, fresh);
  }
}
