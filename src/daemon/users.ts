import { readFileSync } from "node:fs";

let names: Map<number, string> | null = null;
let readAt = 0;
/** A user may be added at any time; reading the file each second would be a waste. */
const KEEP_MS = 30_000;

/** The login name of passwd(5), or the number as text. */
export function userName(uid: number, file = "/etc/passwd"): string {
  if (!names || Date.now() - readAt > KEEP_MS) {
    names = parse(read(file));
    readAt = Date.now();
  }
  return names.get(uid) ?? String(uid);
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw e;
  }
}

function parse(text: string): Map<number, string> {
  const map = new Map<number, string>();
  for (const line of text.split("\n")) {
    const [name, , uid] = line.split(":");
    if (name && uid && !map.has(Number(uid))) map.set(Number(uid), name);
  }
  return map;
}
