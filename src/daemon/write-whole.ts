import { renameSync, writeFileSync } from "node:fs";

/** Writes JSON for its owner alone; a reader finds the old text or the new one. */
export function writeWhole(file: string, value: unknown): void {
  writeFileSync(`${file}.new`, JSON.stringify(value), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
