import { nearest, parseCpid, TeselaError } from "../base/mod.ts";
import { type Command, type Invocation, lastValue, type Option } from "./command.ts";

export const HELP: Option = { long: "help", help: "print this and exit" };
export const JSON_OPTION: Option = { long: "json", help: "print JSON for scripts" };

/** Its own options and those that every command has. */
export function optionsOf(command: Command): Option[] {
  const own = [...command.options, ...(command.json ? [JSON_OPTION] : [])];
  const taken = own.some((o) => o.short === "h" || o.also?.includes("h"));
  return [...own, taken ? HELP : { ...HELP, short: "h" }];
}

export const usage = (command: Command, message: string): TeselaError =>
  new TeselaError("E_USAGE", message, { hint: `tesela ${command.name} --help` });

/** A process, as `4711` or `1:4711`. @throws TeselaError E_USAGE */
export function pidOperand(call: Invocation): string {
  const [pid = ""] = call.operands;
  try {
    parseCpid(pid);
  } catch (e) {
    throw usage(call.command, (e as Error).message);
  }
  return pid;
}

/**
 * Reads what comes after the command's name: `--long`, `--long value`, `--long=value`, `-s`, `-svalue`, `-s value`, bundles
 * of short switches, `--` as the end of options.
 * @throws TeselaError E_USAGE
 */
export function parse(command: Command, args: readonly string[]): Invocation {
  const options = optionsOf(command);
  const switches = new Set<string>();
  const values = new Map<string, string[]>();
  const operands: string[] = [];
  const rest = args.map((a) => command.spellings?.[a] ?? a);

  const take = (option: Option, shown: string, attached: string | undefined): void => {
    if (option.lacks) throw usage(command, `${shown} needs ${option.lacks}, which this version does not have`);
    if (option.value === undefined) {
      if (attached !== undefined) throw usage(command, `${shown} takes no value`);
      switches.add(option.long);
      return;
    }
    const value = attached ?? rest.shift();
    if (value === undefined || value === "") throw usage(command, `${shown} needs a value: ${option.value}`);
    values.set(option.long, [...(values.get(option.long) ?? []), value]);
  };

  const short = (bundle: string): void => {
    for (let i = 0; i < bundle.length; i++) {
      const letter = bundle[i] as string;
      const option = options.find((o) => o.short === letter || o.also?.includes(letter));
      if (!option) throw usage(command, `unknown option -${letter}`);
      if (option.value === undefined) {
        take(option, `-${letter}`, undefined);
        continue;
      }
      take(option, `-${letter}`, i + 1 < bundle.length ? bundle.slice(i + 1) : undefined);
      return;
    }
  };

  while (rest.length > 0) {
    const arg = rest.shift() as string;
    if (arg === "--") {
      operands.push(...rest.splice(0));
    } else if (arg.startsWith("--")) {
      const equals = arg.indexOf("=");
      const name = equals < 0 ? arg.slice(2) : arg.slice(2, equals);
      const option = options.find((o) => o.long === name);
      if (!option) throw unknownOption(command, name);
      take(option, `--${name}`, equals < 0 ? undefined : arg.slice(equals + 1));
    } else if (arg.startsWith("-") && arg !== "-") {
      short(arg.slice(1));
    } else {
      operands.push(arg);
      if (command.stops) operands.push(...rest.splice(0));
    }
  }
  const call: Invocation = { command, switches, values, operands, json: switches.has("json") };
  if (!switches.has("help")) checkOperands(command, operands);
  return call;
}

function unknownOption(command: Command, name: string): TeselaError {
  const longs = optionsOf(command).map((o) => o.long);
  const near = nearest(name, longs);
  return usage(command, `unknown option --${name}${near === null ? "" : `: did you mean --${near}?`}`);
}

function checkOperands(command: Command, operands: readonly string[]): void {
  const [least, most] = command.operands;
  if (operands.length < least) throw usage(command, `${command.name}: want ${command.forms.join(" or ")}`);
  if (operands.length > most) throw usage(command, `${command.name}: unexpected '${operands[most]}'`);
}

/** An option's value as a number, `missing` when it is not given. @throws TeselaError E_USAGE */
export function wholeNumber(call: Invocation, long: string, missing: number, least: number, most: number): number {
  const text = lastValue(call, long);
  if (text === undefined) return missing;
  const n = Number(text);
  if (!/^\d+$/.test(text) || n < least || n > most) throw usage(call.command, `--${long} '${text}': want ${least} to ${most}`);
  return n;
}
