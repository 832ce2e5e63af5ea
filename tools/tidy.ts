/**
 * Style that a formatter and a linter do not know: file length, unfinished marks, silenced checks, silent skips,
 * and traces of one person's machine. A table (a long file that is data) says so with a line `// tidy: table` near its top.
 */
import { type Finding, lineOf, listFiles, readFiles, report, type SourceFile } from "./files.ts";
import { blankComments } from "./imports.ts";

export const MAX_LINES = 500;
export const MAX_LINE_WIDTH = 140;
/** The marker has to be among the first lines, where a reader meets it. */
const MARKER_LINES = 12;
const TABLE_MARKER = /^\s*(?:\/\/|\*|\/\*+|#)\s*tidy: table\b/;

interface Rule {
  /** Which files it looks at. */
  readonly files: RegExp;
  readonly pattern: RegExp;
  readonly message: string;
  /** Look at the text without its comments. */
  readonly code?: boolean;
}

const ALL = /./;
const TS = /\.ts$/;
const TESTS = /\.test\.ts$|^test\//;
// Written in pieces, so that this file does not find itself.
const marks = ["TO" + "DO", "FIX" + "ME", "X" + "XX"].join("|");
const machine = ["/work" + "/", "/root" + "/\\.", "/Users" + "/", "bash" + "_jobs", "npm" + "rc"].join("|");
const registries = ["registry\\.npm" + "js\\.org", "registry\\.yarn" + "pkg\\.com", "npm\\.pkg\\.git" + "hub\\.com"].join("|");

const RULES: readonly Rule[] = [
  { files: ALL, pattern: new RegExp(`\\b(?:${marks})\\b`, "g"), message: "unfinished mark: finish it, or write an issue" },
  { files: ALL, pattern: new RegExp(`(?<![\\w$}.])(?:${machine})`, "g"), message: "names a place on one machine" },
  { files: ALL, pattern: new RegExp(registries, "g"), message: "names a package registry" },
  { files: ALL, pattern: /[ \t]+$/gm, message: "white space at the end of a line" },
  // The linter bans `any` itself; here nobody talks it out of that.
  { files: TS, pattern: /biome-ignore lint\/suspicious\/noExplicitAn[y]/g, message: "no `any`: say what it is" },
  { files: TS, pattern: /@ts-(?:ignore|nocheck)/g, message: "silences the type check" },
  { files: TS, pattern: /biome-ignore-al[l]/g, message: "silences the linter for a whole file" },
  { files: TESTS, code: true, pattern: /\.only\(|\bonly:\s*true/g, message: "runs only this test" },
  {
    files: TESTS,
    code: true,
    pattern: /\b(?:test|it|describe|suite)\.(?:skip|todo)\(/g,
    message: 'a skip needs a printed reason: { skip: "why" }',
  },
  {
    files: TESTS,
    code: true,
    pattern: /\b(?:t|context|ctx)\.(?:skip|todo)\(\s*\)/g,
    message: 'a skip needs a printed reason: t.skip("why")',
  },
  {
    files: TESTS,
    code: true,
    pattern: /\bskip:\s*(?:true\b|!|[\w.()]+\s*[=!<>]=)/g,
    message: 'a skip needs a printed reason: { skip: cond ? "why" : false }',
  },
];

// Tabs and long lines are a matter of the formatter in TypeScript and of the reader in prose; in C and shell nobody else looks.
const HAND_FORMATTED = /\.(?:c|h|sh)$|^bin\/|^\.ci\/|^tools\/setup$/;

/** Everything that is not tidy in one file. */
export function checkTidy({ path, text }: SourceFile): Finding[] {
  const findings: Finding[] = [];
  const lines = text.split("\n");
  const table = lines.slice(0, MARKER_LINES).some((line) => TABLE_MARKER.test(line));
  if (!table && lines.length - 1 > MAX_LINES && !/\.md$|^LICENSE$/.test(path)) {
    findings.push({ path, line: MAX_LINES + 1, message: `${lines.length - 1} lines, ${MAX_LINES} is the ceiling: split it` });
  }
  if (text !== "" && !text.endsWith("\n")) findings.push({ path, line: lines.length, message: "no newline at the end" });
  const code = TS.test(path) ? blankComments(text) : text;
  for (const rule of RULES) {
    if (!rule.files.test(path)) continue;
    for (const m of (rule.code ? code : text).matchAll(rule.pattern)) {
      findings.push({ path, line: lineOf(text, m.index), message: rule.message });
    }
  }
  if (HAND_FORMATTED.test(path)) {
    lines.forEach((line, i) => {
      if (line.length > MAX_LINE_WIDTH)
        findings.push({ path, line: i + 1, message: `${line.length} columns, ${MAX_LINE_WIDTH} is the ceiling` });
      if (line.includes("\t")) findings.push({ path, line: i + 1, message: "a tab: indent with spaces" });
    });
  }
  return findings;
}

/** Files looked at: our own text, wherever it is; `LICENSE` and the lock file are other people's. */
export function tidyFiles(): string[] {
  const text = /\.(?:ts|c|h|S|md|json|sh|svg|nft|service)$|^[^.]+$/;
  const folders = ["src", "test", "tools", "bench", "bin", "docs", "packaging", ".ci"].flatMap((folder) => listFiles(folder, text));
  const loose = ["README.md", "CONTRIBUTING.md", "package.json", "tsconfig.json", "biome.json", ".gitignore", ".editorconfig"];
  return [...folders, ...loose].filter((path) => !path.startsWith("test/golden/"));
}

if (import.meta.main) {
  const files = readFiles(tidyFiles());
  process.exitCode = report("tidy", files.length, files.flatMap(checkTidy));
}
