import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { nodePaths, TeselaError, toTeselaError } from "../../base/mod.ts";
import { bringUp, type Brought } from "../../provision/mod.ts";
import { DONE, FAILED, type Invocation, lastValue } from "../command.ts";
import { addressValue } from "../membership.ts";
import { mayLetIn, openToken } from "../open-token.ts";
import { print, printError, printJson, write } from "../out.ts";
import { usage } from "../parse.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url)).replace(/(?<=.)\/$/, "");
/** From the making of a token to its use one command later, over a slow line. */
const TOKEN_S = 300;

/** Makes other machines nodes over ssh, one after the other; what goes wrong with one does not keep the others back. */
export async function run(call: Invocation): Promise<number> {
  const paths = nodePaths();
  const dir = lastValue(call, "dir") ?? "/opt/tesela";
  if (!/^\/[^\s'"]+$/.test(dir)) throw usage(call.command, `--dir '${dir}': want an absolute path without blanks`);
  const { version } = JSON.parse(readFileSync(`${ROOT}/package.json`, "utf8")) as { version: string };
  const address = addressValue(call);
  const ssh = (lastValue(call, "ssh") ?? "ssh").split(/\s+/);
  // Before anything is copied anywhere.
  mayLetIn(paths);
  const done: Brought[] = [];
  const failed: { host: string; error: string; message: string }[] = [];
  for (const host of call.operands) {
    try {
      const token = (): string => openToken(paths, { ttl: TOKEN_S, address }).token;
      const node = await bringUp(host, { root: ROOT, version, dir, ssh, token, say: (text) => void (call.json || write(2, `${text}\n`)) });
      done.push(node);
      if (!call.json) print(`${host} is node ${node.id} (${node.name}) at ${node.address} now`);
    } catch (e) {
      const error = toTeselaError(e);
      failed.push({ host, error: error.code, message: error.message });
      if (!call.json) printError(new TeselaError(error.code, error.message), false);
    }
  }
  if (call.json) printJson({ nodes: done, failed });
  return failed.length === 0 ? DONE : FAILED;
}
