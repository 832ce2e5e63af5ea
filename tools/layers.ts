/**
 * The layer check: imports run one way, through doors only.
 *
 *     abi <- base <- sys, wire <- io <- image, forward, cluster, load, balance, history <- config <- engine, fs, sim <- daemon, testbed <- demo, doctor <- cli, tui
 *
 * A folder may import folders of lower layers, and those only through their `mod.ts`; inside a folder everything is open.
 * Tests may go through any door, since nothing depends on a test.
 */
import { posix } from "node:path";
import { type Finding, lineOf, listFiles, readFiles, report, type SourceFile } from "./files.ts";
import { importsOf } from "./imports.ts";

/** From the bottom up. Folders in one row are siblings, strangers to one another. */
export const LAYERS: readonly (readonly string[])[] = [
  ["abi"],
  ["base"],
  ["sys", "wire"],
  ["io"],
  ["image", "forward", "cluster", "load", "balance", "history"],
  ["config"],
  ["engine", "fs", "sim"],
  ["daemon", "testbed", "provision"],
  ["demo", "doctor"],
  ["cli", "tui"],
];

/** Node's own modules that a folder must do without, and why. A pattern is matched against the whole specifier. */
const BARRED: readonly { folders: readonly string[]; pattern: RegExp; why: string }[] = [
  { folders: ["abi"], pattern: /./, why: "the ABI is data and imports nothing" },
  {
    folders: ["engine"],
    pattern: /^(node:)?child_process$/,
    why: "libuv would reap the stops of traced children; spawn through src/sys",
  },
  { folders: ["balance"], pattern: /^node:/, why: "the policy is pure: clock, random and transport come in" },
  {
    folders: ["cluster"],
    pattern: /^node:(net|tls|dgram|http|https|child_process|timers.*)$/,
    why: "membership is pure: clock, random and transport come in",
  },
];

const rankOf = (folder: string): number => LAYERS.findIndex((row) => row.includes(folder));
const isTest = (path: string): boolean => /\.test\.ts$/.test(path) || !path.startsWith("src/");

/** The folder under `src` that a path is in, or null for `test/`, `tools/`, `bench/`. */
function folderOf(path: string): string | null {
  const m = /^src\/([^/]+)\//.exec(path);
  return m?.[1] ?? null;
}

function checkBuiltin(path: string, from: string | null, specifier: string): string | null {
  if (specifier === "koffi" && !/^src\/sys\/[^/]+\.unsafe\.ts$/.test(path)) return "koffi may be imported only in src/sys/*.unsafe.ts";
  if (from === null || isTest(path)) return null;
  const barred = BARRED.find((b) => b.folders.includes(from) && b.pattern.test(specifier));
  return barred === undefined ? null : `src/${from} may not import '${specifier}': ${barred.why}`;
}

function checkRelative(path: string, from: string | null, specifier: string): string | null {
  const target = posix.normalize(posix.join(posix.dirname(path), specifier));
  const to = folderOf(target);
  if (from !== null && to === null && !isTest(path)) return `src may not import '${target}'`;
  if (to === null || to === from) return null;
  if (target !== `src/${to}/mod.ts`) return `'${target}' is behind the door of src/${to}: import src/${to}/mod.ts`;
  if (rankOf(to) < 0) return `src/${to} has no place in the layers (tools/layers.ts)`;
  if (from === null || isTest(path)) return null;
  if (rankOf(to) >= rankOf(from)) return `src/${from} may not import src/${to}: arrows run from low layers to high ones`;
  return null;
}

/** Everything that breaks a rule in these files. */
export function checkLayers(files: readonly SourceFile[]): Finding[] {
  const findings: Finding[] = [];
  for (const { path, text } of files) {
    const from = folderOf(path);
    if (from !== null && rankOf(from) < 0) {
      findings.push({ path, line: 1, message: `src/${from} has no place in the layers (tools/layers.ts)` });
      continue;
    }
    for (const { specifier, offset } of importsOf(text)) {
      const message = specifier.startsWith(".") ? checkRelative(path, from, specifier) : checkBuiltin(path, from, specifier);
      if (message !== null) findings.push({ path, line: lineOf(text, offset), message });
    }
  }
  return findings;
}

if (import.meta.main) {
  const files = readFiles(["src", "test", "tools", "bench"].flatMap((folder) => listFiles(folder, /\.ts$/)));
  process.exitCode = report("layers", files.length, checkLayers(files));
}
