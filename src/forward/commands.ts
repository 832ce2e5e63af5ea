/** Calls whose arguments mean what a command among them says: a planner for each command of the table. */
import { COMMAND_TABLES, type CommandTable, syscallByName } from "../abi/mod.ts";
import { asInt, back } from "./forward.ts";
import { compileRow } from "./generic.ts";
import type { Specials } from "./special.ts";
import type { Planner } from "./types.ts";

function byCommand(name: string, { key, commands }: CommandTable): Planner {
  const row = syscallByName(name);
  if (row === undefined) throw new RangeError(`no call is named ${name}`);
  const planners = new Map(Object.entries(commands).map(([command, args]) => [Number(command), compileRow({ ...row, args })]));
  return (args, mem, area, ctx) => {
    const command = asInt(args[key]);
    return planners.get(command)?.(args, mem, area, ctx) ?? back(`${name}: ${command}`);
  };
}

export const commands: Specials = Object.fromEntries(Object.entries(COMMAND_TABLES).map(([name, table]) => [name, byCommand(name, table)]));
