/** The project's own text files, found by walking: a clean checkout, an unpacked tarball and a work tree all look the same. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");

const SKIP = new Set(["node_modules", ".git", ".cache", "coverage", "results"]);

/** A file of the project: `path` is relative to the root, with forward slashes. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** Paths under `folder` (relative to `root`) whose names match, sorted; symbolic links are not followed, a folder that is not there is empty. */
export function listFiles(folder: string, match: RegExp, root: string = ROOT): string[] {
  const found: string[] = [];
  const walk = (dir: string): void => {
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      if (SKIP.has(entry.name)) continue;
      const full = join(dir, entry.name);
      if (entry.isDirectory()) walk(full);
      else if (entry.isFile() && match.test(entry.name)) found.push(relative(root, full));
    }
  };
  if (existsSync(join(root, folder))) walk(join(root, folder));
  return found.sort();
}

/** A file may vanish between the walk and the read (an editor's temporary): it is left out then. */
export function readFiles(paths: readonly string[], root: string = ROOT): SourceFile[] {
  const files: SourceFile[] = [];
  for (const path of paths) {
    try {
      files.push({ path, text: readFileSync(join(root, path), "utf8") });
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e;
    }
  }
  return files;
}

/** Something a check found: printed as `path:line: message`. */
export interface Finding {
  readonly path: string;
  readonly line: number;
  readonly message: string;
}

export const lineOf = (text: string, offset: number): number => text.slice(0, offset).split("\n").length;

/** Prints the findings and gives the exit status of the check. */
export function report(name: string, files: number, findings: readonly Finding[]): number {
  for (const f of findings) console.error(`${f.path}:${f.line}: ${f.message}`);
  console.log(`${name}: ${files} files, ${findings.length} findings`);
  return findings.length === 0 ? 0 : 1;
}
