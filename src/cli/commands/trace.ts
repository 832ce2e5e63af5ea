import { nodePaths, printable } from "../../base/mod.ts";
import { DaemonClient, type TraceLine } from "../../daemon/mod.ts";
import { DONE, type Invocation } from "../command.ts";
import { write } from "../out.ts";
import { pidOperand } from "../parse.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export async function run(call: Invocation): Promise<number> {
  const pid = pidOperand(call);
  const client = new DaemonClient(nodePaths());
  const end = new AbortController();
  for (const signal of SIGNALS) process.on(signal, () => end.abort());
  let session: string | null = null;
  let node = 0;
  const say = (text: string): boolean => write(call.json ? 1 : 2, text);
  try {
    for (;;) {
      const answer = await client.trace({ pid, session }, end.signal);
      ({ session } = answer);
      if (!call.json && answer.node !== node) say(`tesela: ${pid} runs on node ${answer.node}\n`);
      ({ node } = answer);
      const text = answer.lines.map((line) => `${call.json ? JSON.stringify(line) : lineText(line)}\n`).join("");
      if (!write(1, text)) return DONE;
      if (
        answer.lost > 0 &&
        !say(call.json ? `${JSON.stringify({ lost: answer.lost })}\n` : `tesela: ${answer.lost} calls came too fast\n`)
      )
        return DONE;
      if (answer.ended) {
        session = null;
        return DONE;
      }
    }
  } catch (e) {
    if (end.signal.aborted) return DONE;
    throw e;
  } finally {
    // Forgotten by itself after a while where this does not arrive.
    if (session !== null) await client.trace({ pid, session, close: true }).catch(() => undefined);
  }
}

/** `12:34:56.789 2 openat(AT_FDCWD, "/etc/passwd", O_RDONLY, 00) = 3 <home 0.215 ms, 0.041 there>`. */
export function lineText({ at, node, name, args, result, route, ms, homeMs }: TraceLine): string {
  const time = new Date(at).toISOString().slice(11, 23);
  const who = route === "home" ? `home ${ms.toFixed(3)} ms, ${homeMs.toFixed(3)} there` : `${route} ${ms.toFixed(3)} ms`;
  return printable(`${time} ${node} ${name}(${args.join(", ")}) = ${result} <${who}>`);
}
