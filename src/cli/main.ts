/** The commands' one program: finds the command, parses, loads its file, and turns what it throws into an exit status. */
import { fileTrouble, nearest, TeselaError, toTeselaError } from "../base/mod.ts";
import { type Command, DONE, FAILED, USAGE } from "./command.ts";
import { printError, write } from "./out.ts";
import { parse } from "./parse.ts";
import { COMMANDS, commandGroup, findCommand } from "./table.ts";

const HELP_WORDS = new Set(["--help", "-h", "help"]);
const VERSION_WORDS = new Set(["--version", "-V"]);

/** @returns the exit status */
export async function main(args: readonly string[]): Promise<number> {
  const json = args.includes("--json");
  try {
    if (args[0] === PLAN) return await plan(args.slice(1));
    return await dispatch(args);
  } catch (e) {
    const error = readable(e);
    printError(error, json);
    return error.code === "E_USAGE" ? USAGE : FAILED;
  }
}

/** A file of the system's, or of the node's, that cannot be read or written is no bug: who asks has to be another, mostly root. */
function readable(e: unknown): TeselaError {
  const { code, path } = e as NodeJS.ErrnoException;
  if (e instanceof TeselaError || code === undefined || path === undefined) return toTeselaError(e);
  const isDenied = code === "EACCES" || code === "EPERM";
  return new TeselaError(isDenied ? "E_PERM" : "E_CONFIG", `${path}: ${fileTrouble(e)}`, isDenied ? { hint: "root may" } : {}, {
    cause: e,
  });
}

async function dispatch(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined) {
    await printHelp(2, []);
    return USAGE;
  }
  if (HELP_WORDS.has(name)) return await printHelp(1, HELP_WORDS.has(rest[0] ?? "") ? [] : rest);
  if (VERSION_WORDS.has(name)) return await dispatch(["version", ...rest]);
  const { command, after } = await find(name, rest);
  if (command === null) return await printHelp(1, [name]);
  const call = parse(command, after);
  if (call.switches.has("help")) return await printHelp(1, [command.name]);
  const module = await command.load();
  return await module.run(call);
}

/** A null command: help on a group of commands is wanted. */
async function find(name: string, rest: readonly string[]): Promise<{ command: Command | null; after: readonly string[] }> {
  // Of two words first: `demo` is a command, and so is `demo moves`.
  const double = rest[0] === undefined ? undefined : findCommand(`${name} ${rest[0]}`);
  if (double) return { command: double, after: rest.slice(1) };
  const single = findCommand(name);
  if (single) return { command: single, after: rest };
  const group = commandGroup(name);
  if (group.length === 0) throw unknown(name, COMMANDS);
  const [second, ...after] = rest;
  if (second !== undefined && HELP_WORDS.has(second)) return { command: null, after };
  if (second === undefined) throw new TeselaError("E_USAGE", `${name}: want a word after it`, { hint: `tesela ${name} --help` });
  throw unknown(`${name} ${second}`, group, `tesela ${name} --help lists them`);
}

function unknown(name: string, among: readonly Command[], list = "tesela --help lists them"): TeselaError {
  const words = among
    .filter((c) => !c.hidden)
    .flatMap((c) => [c.name, ...c.classic, ...(among === COMMANDS ? [c.name.split(" ")[0] ?? ""] : [])]);
  const near = nearest(name, words);
  return new TeselaError("E_USAGE", `unknown command '${name}'`, { hint: near ? `did you mean '${near}'?` : list });
}

async function printHelp(fd: 1 | 2, words: readonly string[]): Promise<number> {
  const { commandHelp, overview } = await import("./help.ts");
  const name = words.slice(0, 2).join(" ");
  const command = findCommand(name) ?? findCommand(words[0] ?? "");
  const group = commandGroup(words[0] ?? "");
  if (words.length > 0 && !command && group.length === 0) throw unknown(words[0] ?? "", COMMANDS);
  if (command) write(fd, commandHelp(command));
  else write(fd, overview(group.length > 0 ? group : COMMANDS));
  return DONE;
}

/** bin/tesela asks for a plan of `run`, which it then carries out itself: see run.ts. */
const PLAN = "--plan-run";
async function plan(args: readonly string[]): Promise<number> {
  const { planRun } = await import("./commands/run.ts");
  return await planRun(Number(args[0]), args.slice(1));
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
