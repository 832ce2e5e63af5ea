import { readFileSync } from "node:fs";
import { DONE, type Invocation } from "../command.ts";
import { print, printJson } from "../out.ts";

export async function run(call: Invocation): Promise<number> {
  const text = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  const { version } = JSON.parse(text) as { version: string };
  if (call.json) printJson({ version, node: process.versions.node });
  else print(`tesela ${version}`);
  return DONE;
}
