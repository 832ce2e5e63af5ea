/** What a command is: an entry of the table (table.ts) and, loaded only when it is called, a module with `run`. */

/** Statuses a command ends with; one that runs a program returns the program's. */
export const DONE = 0;
export const FAILED = 1;
export const USAGE = 2;

export interface Option {
  /** Without the dashes. */
  readonly long: string;
  /** One letter, without the dash. */
  readonly short?: string;
  /** More letters for the same, as the classics had them. */
  readonly also?: readonly string[];
  /** What its value is called in the help; an option without one is a switch. */
  readonly value?: string;
  readonly help: string;
  /** It depends on something that this version does not have: named here, refused as usage. */
  readonly lacks?: string;
}

export interface Command {
  readonly name: string;
  /** Names of the classics that mean the same. */
  readonly classic: readonly string[];
  readonly summary: string;
  /** Argument texts after the name, one a form: `[options] PID NODE|home`. */
  readonly forms: readonly string[];
  readonly options: readonly Option[];
  /** Least and most operands. */
  readonly operands: readonly [number, number];
  /** Parsing stops at the first operand: it is a program's name, or the rest is parsed by the command. */
  readonly stops?: boolean;
  /** It prints, and so has `--json`. */
  readonly json?: boolean;
  /** Commands for its own use, not in the overview. */
  readonly hidden?: boolean;
  /** Words of the classics that are read as others: `-off` as `--off`. */
  readonly spellings?: Readonly<Record<string, string>>;
  readonly notes?: readonly string[];
  readonly examples?: readonly string[];
  readonly load: () => Promise<CommandModule>;
}

export interface CommandModule {
  /** @returns the exit status. @throws TeselaError, which main prints */
  readonly run: (call: Invocation) => Promise<number>;
}

/** A parsed command line. */
export interface Invocation {
  readonly command: Command;
  /** By long name: true for a switch, the texts in order for an option with a value. */
  readonly switches: ReadonlySet<string>;
  readonly values: ReadonlyMap<string, readonly string[]>;
  readonly operands: readonly string[];
  readonly json: boolean;
}

/** The last value given for an option. */
export const lastValue = (call: Invocation, long: string): string | undefined => call.values.get(long)?.at(-1);
