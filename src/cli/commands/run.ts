import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { TeselaError, toTeselaError } from "../../base/mod.ts";
import { DONE, FAILED, type Invocation, USAGE } from "../command.ts";
import { printError, write } from "../out.ts";
import { parse } from "../parse.ts";
import { quote, repairEnvironment, splitStrings } from "../run/environ.ts";

import { findProgram } from "../run/find-program.ts";
import { readHints } from "../run/hints.ts";
import { place, readWanted, type Said } from "../run/place.ts";
import { readRoom } from "../run/room.ts";
import { findCommand } from "../table.ts";

/**
 * `tesela run` in two halves. The launcher (bin/tesela, a shell script) starts this as a child and asks for a plan: a few
 * lines of shell that put the environment back and end in `exec "$@"`. So it is the shell that becomes the program, and
 * nothing that Node does to a process (signals, limits, descriptors, peak memory) has to be undone. See docs/decisions/0025.
 *
 * @param shell PID of the launcher
 * @param args its arguments: `run`, options, program, arguments
 */
export async function planRun(shell: number, args: readonly string[]): Promise<number> {
  try {
    write(1, Buffer.from(await planLines(shell, args), "latin1"));
  } catch (e) {
    const error = toTeselaError(e);
    printError(error, false);
    write(1, `exit ${error.code === "E_USAGE" ? USAGE : FAILED}\n`);
  }
  return DONE;
}

async function planLines(shell: number, args: readonly string[]): Promise<string> {
  const command = findCommand("run");
  if (!command || args[0] !== "run") throw new TeselaError("E_INTERNAL", "the launcher asked for a plan of something else");
  const call = parse(command, args.slice(1));
  if (call.switches.has("help")) {
    const { commandHelp } = await import("../help.ts");
    return `printf %s ${quote(Buffer.from(commandHelp(command)).toString("latin1"))}\nexit 0\n`;
  }
  const said: Said = { wanted: readWanted(call), hints: readHints(call), room: readRoom(call) };
  const name = call.operands[0] ?? "";
  const original = splitStrings(readFileSync(`/proc/${shell}/environ`));
  const path = original.find((s) => s.startsWith("PATH="))?.slice("PATH=".length);
  const found = findProgram(name, path === undefined ? undefined : Buffer.from(path, "latin1").toString("utf8"));
  if (!("path" in found)) {
    write(2, `tesela: ${name}: ${found.why}\n`);
    return `exit ${found.status}\n`;
  }
  const { lines, beyond } = repairEnvironment(original, splitStrings(readFileSync("/proc/self/environ")));
  // env(1) would take a program with `=` in its name for a variable.
  const through = beyond.length > 0 && !name.includes("=") ? `env ${beyond.map(quote).join(" ")} ` : "";
  await place(call, said, shell, through === "" ? 1 : 2);
  const settings = call.switches.has("portable") ? await portable() : [];
  return [...lines, ...settings, `shift ${args.length - call.operands.length}`, `exec ${through}"$@"`, ""].join("\n");
}

/** It takes the table of the ABI, which no other program waits for. */
async function portable(): Promise<string[]> {
  const { portableSettings } = await import("../run/portable.ts");
  return await portableSettings(process.env["GLIBC_TUNABLES"] ?? "");
}

/** Called without the launcher (`node src/cli/main.ts run ...`): becomes the launcher first. */
export const run = (call: Invocation): Promise<number> => becomeLauncher(call);

export async function becomeLauncher(call: Invocation): Promise<number> {
  const launcher = fileURLToPath(new URL("../../../bin/tesela", import.meta.url));
  process.execve?.("/bin/sh", ["sh", launcher, ...process.argv.slice(2)], process.env);
  throw new TeselaError("E_INTERNAL", `could not become ${call.operands[0]}`);
}
