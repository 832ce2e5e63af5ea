import { closeSync, openSync, readdirSync, readSync } from "node:fs";

/** Longest file of /proc that is read here; what is beyond is not looked at. /proc/stat has some 80 bytes for each CPU before all else. */
const MOST = 64 * 1024;
const buffer = Buffer.allocUnsafeSlow(MOST);

/**
 * A small file of /proc or of a control group, or null when it is not there, or not for us. In three system calls, where readFileSync() makes five:
 * a sample reads hundreds.
 */
export function readSmall(path: string): string | null {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (e) {
    if (absent(e)) return null;
    throw e;
  }
  try {
    return buffer.toString("latin1", 0, readSync(fd, buffer, 0, MOST, 0));
  } catch (e) {
    if (absent(e)) return null;
    throw e;
  } finally {
    closeSync(fd);
  }
}

/** The entries of a directory that are numbers; none when it is not there. */
export function numbersIn(dir: string): number[] {
  try {
    return readdirSync(dir).map(Number).filter(Number.isInteger);
  } catch (e) {
    if (absent(e)) return [];
    throw e;
  }
}

/** A process that ended meanwhile, a controller that this kernel has not, a file that is the superuser's. EOPNOTSUPP: pressure is switched off. */
const ABSENT = ["ENOENT", "ESRCH", "EACCES", "EPERM", "ENODEV", "ENOTDIR", "EOPNOTSUPP"];
const absent = (e: unknown): boolean => ABSENT.includes((e as NodeJS.ErrnoException).code ?? "");

/** `name value` lines, as memory.stat and vmstat have them; null when there is none of that name. */
export function numberOf(text: string | null, name: string): number | null {
  if (text === null) return null;
  const at = text.startsWith(`${name} `) ? 0 : text.indexOf(`\n${name} `) + 1;
  if (at === 0 && !text.startsWith(`${name} `)) return null;
  return Number.parseInt(text.slice(at + name.length + 1), 10);
}
