import { textTable } from "../base/mod.ts";
import type { Command, Option } from "./command.ts";
import { optionsOf } from "./parse.ts";

const letters = (o: Option): string[] => [...(o.short ? [o.short] : []), ...(o.also ?? [])];

function optionText(o: Option): string {
  const value = o.value === undefined ? "" : ` ${o.value}`;
  return [...letters(o).map((l) => `-${l}`), `--${o.long}`].join(", ") + value;
}

/** `tesela COMMAND --help`. */
export function commandHelp(command: Command): string {
  const lines = [`tesela ${command.name} - ${command.summary}`, "", "Usage:"];
  for (const form of command.forms) lines.push(`  tesela ${command.name} ${form}`.trimEnd());
  if (command.classic.length > 0) lines.push(`  ${command.classic.join(", ")}: the classic name of the same command`);
  const options = optionsOf(command).filter((o) => o.lacks === undefined);
  lines.push("", "Options:", textTable(options.map((o) => [`  ${optionText(o)}`, o.help])));
  if (command.notes) lines.push("", ...command.notes);
  if (command.examples) lines.push("", "Examples:", ...command.examples.map((e) => `  ${e}`));
  return `${lines.join("\n")}\n`;
}

/** `tesela --help`. */
export function overview(commands: readonly Command[]): string {
  const rows = commands.filter((c) => !c.hidden).map((c) => [`  ${c.name}`, c.summary, c.classic.join(", ")]);
  return [
    "tesela - running programs move between machines and never notice",
    "",
    "Usage:",
    "  tesela COMMAND [options] [operands]",
    "  tesela COMMAND --help",
    "",
    "Commands, with their classic names:",
    textTable(rows),
    "",
    "Exit status: 0 done, 1 refused or failed, 2 usage. Commands that run a program return its status.",
    "",
  ].join("\n");
}
