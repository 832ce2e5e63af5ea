import { accessSync, constants, statSync } from "node:fs";
import { MiB, TeselaError } from "../../base/mod.ts";
import {
  type ClusterRow,
  clusterDown,
  clusterRow,
  clusterUp,
  DEFAULT_NAME,
  findHost,
  getState,
  hostEnvironment,
  launchOn,
  listClusters,
  setLink,
} from "../../testbed/mod.ts";
import { DONE, FAILED, type Invocation, lastValue } from "../command.ts";
import { print, printJson } from "../out.ts";
import { usage } from "../parse.ts";

const ACTIONS: Record<string, (call: Invocation) => Promise<number>> = {
  "cluster up": up,
  "cluster exec": exec,
  "cluster cut": (call) => link(call, "cut"),
  "cluster heal": (call) => link(call, "up"),
  "cluster ls": list,
  "cluster down": down,
};

export async function run(call: Invocation): Promise<number> {
  const action = ACTIONS[call.command.name];
  if (!action) throw new TeselaError("E_USAGE", `${call.command.name}: unknown command`);
  return await action(call);
}

const MAX_LAST_WORD = 300;

const nameOf = (call: Invocation): string => lastValue(call, "name") ?? DEFAULT_NAME;

function numberOf(call: Invocation, option: string): number | null {
  const text = lastValue(call, option);
  if (text === undefined) return null;
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new TeselaError("E_USAGE", `--${option} ${text}: want a number from 1 on`);
  return Number(text);
}

/** With less a host's own services are ended by the kernel as they start. */
const LEAST_MB = 64;

async function up(call: Invocation): Promise<number> {
  const name = nameOf(call);
  const hosts = numberOf(call, "nodes");
  if (hosts === null) throw usage(call.command, "cluster up: want -n N, the number of hosts");
  const memory = numberOf(call, "memory");
  if (memory !== null && memory < LEAST_MB)
    throw usage(call.command, `--memory ${memory}: want at least ${LEAST_MB}, in which a host's two daemons fit`);
  // ^C takes the half-made cluster down before the command ends; a second one ends it at once, and the cluster with it.
  const stop = new AbortController();
  let status = DONE;
  const end = (signal: NodeJS.Signals): void => {
    status = signal === "SIGINT" ? 130 : 143;
    stop.abort();
  };
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) process.once(signal, end);
  try {
    await clusterUp({
      name,
      hosts,
      pin: call.switches.has("pin"),
      signal: stop.signal,
      ...(memory === null ? {} : { memory: memory * MiB }),
    });
  } catch (e) {
    if (status !== DONE) return status;
    throw withLastWord(e);
  } finally {
    for (const signal of signals) process.off(signal, end);
  }
  const row = clusterRow(name);
  if (call.json) printJson(row);
  else print(`cluster '${name}' is up: ${row.hosts.map((h) => `${h.name} ${h.address}`).join(", ")}`);
  return DONE;
}

/** One line for people, with the last word of a log that has one; all of the logs are in the error with --json. */
function withLastWord(e: unknown): unknown {
  if (!(e instanceof TeselaError)) return e;
  const logs = Object.entries((e.details["logs"] ?? {}) as Record<string, string>);
  const [place, text] = logs.find(([, text]) => /error|fatal|fail|cannot/i.test(text)) ?? logs.at(-1) ?? [];
  const line = text?.split("\n").at(-1)?.slice(0, MAX_LAST_WORD);
  return line === undefined ? e : new TeselaError(e.code, e.message, { ...e.details, hint: `${place}: ${line}` }, { cause: e });
}

/** Becomes the waiter of the command by execve, so it has the very terminal and descriptors of its caller. */
async function exec(call: Invocation): Promise<number> {
  const [node = "", ...rest] = call.operands;
  const [program, ...args] = rest[0] === "--" ? rest.slice(1) : rest;
  if (program === undefined) throw new TeselaError("E_USAGE", "cluster exec: want NODE -- COMMAND [ARGS]");
  const state = getState(nameOf(call));
  const host = findHost(state, node);
  const cwd = workingDirectory();
  if (!isDirectory(`/proc/${host.init.pid}/root${cwd}`))
    throw new TeselaError("E_NONODE", `the working directory ${cwd} does not exist on ${host.name}`);
  const { TESELA_NOFILE: nofile, TESELA_SIGIGN: ignored } = process.env;
  const launch = launchOn(state, node, {
    argv: [program, ...args],
    cwd,
    env: hostEnvironment(state, process.env),
    nofile: nofile && /^\d+$/.test(nofile) ? Number(nofile) : null,
    ignored: ignored && /^[0-9a-f]+$/i.test(ignored) ? BigInt(`0x${ignored}`) : 0n,
  });
  try {
    // A failed process.execve would end this process without a word.
    accessSync(launch.file, constants.X_OK);
  } catch (cause) {
    throw new TeselaError("E_NODE_DOWN", `host ${host.name} cannot be entered: ${(cause as Error).message}`, {}, { cause });
  }
  process.execve?.(launch.file, [launch.file, ...launch.args], launch.env);
  return FAILED;
}

function workingDirectory(): string {
  try {
    return process.cwd();
  } catch (cause) {
    throw new TeselaError("E_CONFIG", "the working directory has been removed: change to another one", {}, { cause });
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

async function link(call: Invocation, to: "up" | "cut"): Promise<number> {
  const [node = ""] = call.operands;
  const name = nameOf(call);
  await setLink(name, node, to);
  const host = clusterRow(name).hosts.find((h) => h.name === node || String(h.id) === node);
  if (call.json) printJson(host);
  else print(`${host?.name ?? node} of cluster '${name}': its link is ${to}`);
  return DONE;
}

async function list(call: Invocation): Promise<number> {
  const rows = listClusters();
  if (call.json) printJson(rows);
  else for (const row of rows) print(describe(row));
  return DONE;
}

function describe(row: ClusterRow): string {
  const hosts = row.hosts.map((h) => [
    `  ${h.name}`,
    h.address,
    h.state,
    ...(h.link === "cut" ? ["cut"] : []),
    ...(h.cpu === null ? [] : [`cpu ${h.cpu}`]),
  ]);
  return [`${row.name} ${row.state}`, ...hosts.map((words) => words.join("  "))].join("\n");
}

async function down(call: Invocation): Promise<number> {
  const name = nameOf(call);
  await clusterDown(name);
  if (call.json) printJson({ name, state: "down" });
  else print(`cluster '${name}' is down`);
  return DONE;
}
