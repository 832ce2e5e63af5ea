/** What the launcher's shell has done to the environment, and the shell words that undo it. */

/** Given to Node alone by the launcher: in the shell itself they are as they were. */
const FOR_NODE_ALONE = new Set(["NODE_OPTIONS", "NODE_COMPILE_CACHE"]);
/** Shells set it to the last command; every program that is started by one sees another value anyway. */
const LAST_COMMAND = "_";
/** A shell refuses to set these, or makes something else of them. */
const SHELL_OWN = new Set(["PPID", "UID", "EUID", "SHELLOPTS", "BASHOPTS", "OPTIND", "LINENO", "IFS"]);
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** A string list as execve(2) takes it, read from /proc: bytes as latin1, so that what is not UTF-8 survives. */
export const splitStrings = (raw: Buffer): string[] => raw.toString("latin1").split("\0").slice(0, -1);

export const quote = (latin1: string): string => `'${latin1.replaceAll("'", "'\\''")}'`;

export interface Repair {
  /** Lines for the shell to carry out. */
  readonly lines: readonly string[];
  /** `NAME=value` of what no shell can carry (exported bash functions, names with dots): for env(1). */
  readonly beyond: readonly string[];
}

/**
 * @param original the environment that the launcher was started with
 * @param now the one that its children get
 */
export function repairEnvironment(original: readonly string[], now: readonly string[]): Repair {
  const was = byName(original);
  const is = byName(now);
  const lines: string[] = [];
  const beyond: string[] = [];
  for (const name of is.keys()) {
    if (!was.has(name) && NAME.test(name) && !FOR_NODE_ALONE.has(name) && name !== LAST_COMMAND) lines.push(`unset ${name}`);
  }
  for (const [name, value] of was) {
    if (is.get(name) === value || FOR_NODE_ALONE.has(name) || name === LAST_COMMAND) continue;
    if (NAME.test(name) && !SHELL_OWN.has(name)) lines.push(`export ${name}=${quote(value)}`);
    else beyond.push(`${name}=${value}`);
  }
  return { lines, beyond };
}

/** Of several with one name the first counts, as for getenv(3). */
function byName(strings: readonly string[]): Map<string, string> {
  const map = new Map<string, string>();
  for (const s of strings) {
    const equals = s.indexOf("=", 1);
    if (equals > 0 && !map.has(s.slice(0, equals))) map.set(s.slice(0, equals), s.slice(equals + 1));
  }
  return map;
}
