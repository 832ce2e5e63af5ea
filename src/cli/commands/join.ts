import { existsSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { nodePaths, TeselaError } from "../../base/mod.ts";
import { decodeToken, type Token, type Welcome } from "../../cluster/mod.ts";
import { DONE, type Invocation, lastValue } from "../command.ts";
import { addressValue, idValue, nameValue, portValue } from "../membership.ts";
import { print, printJson } from "../out.ts";
import { usage } from "../parse.ts";

/** This machine becomes a node: the one that made the token gives it a number and a certificate. */
export async function run(call: Invocation): Promise<number> {
  const paths = nodePaths();
  if (existsSync(paths.nodeJson)) throw new TeselaError("E_EXISTS", `${paths.nodeJson}: this machine is a node already`);
  const given = lastValue(call, "token");
  if (given === undefined) throw usage(call.command, "join: want --token TOKEN, or --token - and the token on stdin");
  const token = decodeToken(given === "-" ? readFileSync(0, "utf8") : given);
  const [id, name, address] = [idValue(call, "id"), nameValue(call, "node-name"), addressValue(call)];
  // What making a request loads is not needed to be told of a wrong token.
  const { enrolWith, settle } = await import("../../provision/mod.ts");
  const joined = await enrolWith(at(token, call), {
    port: portValue(call),
    ...(id !== undefined && { id }),
    ...(name !== undefined && { name }),
    ...(address !== undefined && { address }),
  });
  settle(paths, joined, address !== undefined);
  const { node, cluster } = joined.welcome;
  if (call.json) printJson({ ...node, cluster });
  else print([`this machine is node ${node.id} (${node.name}) of cluster '${cluster}' now`, ...otherName(joined.welcome, name)].join("\n"));
  return DONE;
}

/** Why it is not called as the host is, when nobody has said what it is to be called. */
export function otherName({ node, peers, record }: Welcome, wanted?: string, host = hostname().split(".")[0] ?? ""): string[] {
  if (wanted !== undefined || node.name === host) return [];
  const holder = [...peers, ...record].find((p) => p.id !== node.id && p.name === host);
  if (holder === undefined) return [`its name is ${node.name}, and not the host's, '${host}'`];
  const gone = record.find((e) => e.id === holder.id && e.standing !== "member");
  const why = gone
    ? `which ${gone.standing === "left" ? "has left" : "was removed"}: its name stays reserved`
    : "and each has a name of its own";
  return [`its name is ${node.name}, for '${host}' is node ${holder.id}'s, ${why}; a name is chosen with --node-name when joining`];
}

/** The node's address is in the token; another one may be better from here. */
function at(token: Token, call: Invocation): Token {
  const [operand] = call.operands;
  if (operand === undefined) return token;
  const m = /^(?:\[([0-9a-fA-F:]+)\]|([^:\s]+)|([0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F]*))(?::(\d{1,5}))?$/.exec(operand);
  const address = m?.[1] ?? m?.[2] ?? m?.[3];
  const port = m?.[4] === undefined ? token.port : Number(m[4]);
  if (address === undefined || port < 1 || port > 65535) throw usage(call.command, `address '${operand}': want ADDRESS or ADDRESS:PORT`);
  return { ...token, address, port };
}
