/** What a daemon has to say of its command line: it takes none, for its settings are in files and in the environment. */
export interface CommandLineAnswer {
  readonly fd: 1 | 2;
  readonly text: string;
  readonly status: number;
}

const USAGE = 2;

/** @returns what to say before it ends; null when nothing was given, and it is to start. @param does what it is, in a few words */
export function answerArguments(name: string, does: string, version: string, args: readonly string[]): CommandLineAnswer | null {
  const [first] = args;
  if (first === undefined) return null;
  if (first === "--version") return { fd: 1, text: `${name} ${version}\n`, status: 0 };
  const help = `${name} - ${does}\n\nIt takes no arguments and stays in the foreground. Its settings: tesela config.\n`;
  if (first === "--help" || first === "-h") return { fd: 1, text: help, status: 0 };
  return { fd: 2, text: `${name}: unexpected '${first}': it takes no arguments (${name} --help)\n`, status: USAGE };
}
