import { readFileSync, realpathSync } from "node:fs";
import { TeselaError } from "../base/mod.ts";

/**
 * The programs of a loadlevellist, as /proc/PID/exe names them: symbolic links are followed, so that `/usr/bin/awk` means what it is.
 * A file that is not there lists nothing, and neither does a program that is not there.
 * @throws TeselaError E_CONFIG naming file and line
 */
export function readLoadLevelList(file: string): ReadonlySet<string> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return new Set();
    throw new TeselaError("E_CONFIG", `${file}: ${message}`, {}, { cause });
  }
  const programs = new Set<string>();
  text.split("\n").forEach((whole, i) => {
    const line = whole.replace(/(^|\s)#.*$/, "").trim();
    if (line === "") return;
    if (!line.startsWith("/")) throw new TeselaError("E_CONFIG", `${file}:${i + 1}: '${line}': want the full path of a program`);
    programs.add(followed(line));
  });
  return programs;
}

function followed(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    // Not installed, or not for us to see: it counts from when it is read again.
    return path;
  }
}
