import { isatty } from "node:tty";
import { runMoves, runSpread } from "../../demo/mod.ts";
import { DONE, FAILED, type Invocation, lastValue } from "../command.ts";
import { write } from "../out.ts";
import { wholeNumber } from "../parse.ts";
import { stoppable } from "../stoppable.ts";

const NAME = "demo";
const SECONDS = 45;
const LEAST_SECONDS = 10;
const MOST_SECONDS = 3600;

/** `demo` and `demo moves`: each on a cluster of its own. */
export async function run(call: Invocation): Promise<number> {
  const seconds = wholeNumber(call, "seconds", SECONDS, LEAST_SECONDS, MOST_SECONDS);
  const output = { isTty: isatty(1) && process.env["TERM"] !== "dumb", columns: terminalWidth, write: (s: string) => write(1, s) };
  const show = call.command.name === "demo moves" ? runMoves : runSpread;
  return await stoppable(async (signal) => {
    const good = await show({
      name: lastValue(call, "name") ?? NAME,
      keep: call.switches.has("keep"),
      seconds,
      command: commandName(),
      output,
      signal,
    });
    return good ? DONE : FAILED;
  });
}

const terminalWidth = (): number => process.stdout.columns || 80;

/** What works where the reader stands: the bare word when it is on the PATH. */
function commandName(): string {
  const bin = new URL("../../../bin", import.meta.url).pathname;
  return (process.env["PATH"] ?? "").split(":").includes(bin) ? "tesela" : "bin/tesela";
}
