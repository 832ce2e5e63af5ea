/**
 * Writes the table of system calls in docs/compat.md from the one that drives the engine: `npm run docs`. With `--check` it writes
 * nothing and says whether the page is up to date.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Route, SYSCALLS, type SyscallRow } from "../src/abi/mod.ts";
import { ROOT } from "./files.ts";

const PAGE = join(ROOT, "docs/compat.md");
const BEGIN = "<!-- system calls: written by tools/compat.ts -->\n";
const END = "<!-- end of system calls -->\n";

const ANSWERED: Record<Route, string> = {
  local: "where it runs",
  home: "home",
  special: "home",
  engine: "both",
  back: "goes home first",
};

const line = ({ nr, name, route, status, note }: SyscallRow): string => {
  const how = { full: "yes", part: "mostly", home: "at home only" }[status];
  return `| ${nr} | \`${name}\` | ${ANSWERED[route]} | ${how} | ${(note ?? "").replaceAll("|", "\\|")} |`;
};

/** The table in Markdown, one line a call, sorted by number. */
export function compatTable(rows: readonly SyscallRow[]): string {
  const lines = [...rows].sort((a, b) => a.nr - b.nr).map(line);
  return ["| nr | call | answered by | away | note |", "|---:|---|---|---|---|", ...lines, ""].join("\n");
}

/** The page with its table replaced. @throws Error when it has lost its markers */
export function withTable(page: string, table: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`docs/compat.md: no '${BEGIN.trim()}' before '${END.trim()}'`);
  return `${page.slice(0, begin + BEGIN.length)}\n${table}\n${page.slice(end)}`;
}

if (import.meta.main) {
  const page = readFileSync(PAGE, "utf8");
  const fresh = withTable(page, compatTable(SYSCALLS));
  if (process.argv.includes("--check")) {
    if (fresh !== page) console.error("docs/compat.md is not what src/abi/syscalls.ts says: run `npm run docs`");
    process.exitCode = fresh === page ? 0 : 1;
  } else {
    writeFileSync(PAGE, fresh);
  }
}
