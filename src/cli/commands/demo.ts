import { isatty } from "node:tty";
import { runDemo } from "../../demo/mod.ts";
import { DONE, FAILED, type Invocation, lastValue } from "../command.ts";
import { write } from "../out.ts";
import { usage } from "../parse.ts";

const NAME = "demo";
const SECONDS = 45;
const LEAST_SECONDS = 10;
const MOST_SECONDS = 3600;
/** 128 + the number of the signal, as shells count. */
const STOPPED = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

export async function run(call: Invocation): Promise<number> {
  const text = lastValue(call, "seconds") ?? String(SECONDS);
  const seconds = Number(text);
  if (!/^\d+$/.test(text) || seconds < LEAST_SECONDS || seconds > MOST_SECONDS) {
    throw usage(call.command, `--seconds '${text}': want ${LEAST_SECONDS} to ${MOST_SECONDS}`);
  }
  const stop = new AbortController();
  let stopped: keyof typeof STOPPED | null = null;
  for (const signal of Object.keys(STOPPED) as (keyof typeof STOPPED)[]) {
    process.once(signal, () => {
      stopped = signal;
      stop.abort();
    });
  }
  const output = { isTty: isatty(1) && process.env["TERM"] !== "dumb", columns: terminalWidth, write: (s: string) => write(1, s) };
  try {
    const good = await runDemo({
      name: lastValue(call, "name") ?? NAME,
      keep: call.switches.has("keep"),
      seconds,
      command: commandName(),
      output,
      signal: stop.signal,
    });
    return good ? DONE : FAILED;
  } catch (e) {
    if (stopped === null) throw e;
    return STOPPED[stopped];
  }
}

const terminalWidth = (): number => process.stdout.columns || 80;

/** What works where the reader stands: the bare word when it is on the PATH. */
function commandName(): string {
  const bin = new URL("../../../bin", import.meta.url).pathname;
  return (process.env["PATH"] ?? "").split(":").includes(bin) ? "tesela" : "bin/tesela";
}
