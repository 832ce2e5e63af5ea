import { TeselaError } from "../base/mod.ts";
import { enterArguments } from "./enter.ts";
import { PACKAGE } from "./services.ts";
import { type ClusterState, type HostState, isAlive, isRunning, type ProcessId } from "./state.ts";

/** Flags of setns(2), clone(2). */
const CLONE = {
  NEWTIME: 0x80,
  NEWNS: 0x20000,
  NEWUTS: 0x4000000,
  NEWIPC: 0x8000000,
  NEWUSER: 0x10000000,
  NEWPID: 0x20000000,
  NEWNET: 0x40000000,
};
const HOST_NAMESPACES = CLONE.NEWNS | CLONE.NEWUTS | CLONE.NEWIPC | CLONE.NEWPID | CLONE.NEWNET;

/** Marks whatever runs on a host, so that `down` finds it: the cluster's directory. */
export const MARK = "TESELA_TESTBED";
const PASSED = ["TERM", "COLORTERM", "LANG", "LANGUAGE", "TZ", "HOME", "USER", "LOGNAME", "SHELL"];
const STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export type Environment = Readonly<Record<string, string | undefined>>;

/** What a program on a host sees of its caller's environment: terminal, language, who and where; and the package's commands. */
export function hostEnvironment(state: ClusterState, env: Environment): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [key, value] of Object.entries(env)) {
    if (value !== undefined && (PASSED.includes(key) || key.startsWith("LC_"))) out[key] = value;
  }
  return { ...out, PATH: `${PACKAGE}/bin:${env["PATH"] || STANDARD_PATH}`, [MARK]: state.dir };
}

/**
 * A host by number or name, with its running init.
 * @throws TeselaError E_NONODE, E_NODE_DOWN
 */
export function findHost(state: ClusterState, node: string | number): HostState & { init: ProcessId } {
  const host = state.hosts.find((h) => String(h.id) === String(node) || h.name === node);
  if (!host) {
    const last = state.hosts.at(-1);
    throw new TeselaError("E_NONODE", `cluster '${state.name}' has no host '${node}': it has h1 to ${last?.name}, or 1 to ${last?.id}`);
  }
  const { init } = host;
  if (!isRunning(state) || !isAlive(init)) {
    const again = `tesela cluster down --name ${state.name}`;
    throw new TeselaError("E_NODE_DOWN", `host ${host.name} of cluster '${state.name}' does not run any more`, { hint: again });
  }
  return { ...host, init };
}

export interface HostCommand {
  readonly argv: readonly [string, ...string[]];
  /** On the host. */
  readonly cwd: string;
  /** Complete: see hostEnvironment. */
  readonly env: Readonly<Record<string, string>>;
  /** Soft limit of open files, and ignored signals, as the program shall have them. */
  readonly nofile?: number | null;
  readonly ignored?: bigint;
}

/** A program of this machine that becomes, by execve, the waiter of a command on a host. */
export interface Launch {
  readonly file: string;
  /** Without argv[0]. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export function launchOn(state: ClusterState, node: string | number, command: HostCommand): Launch {
  const host = findHost(state, node);
  const { pid } = host.init;
  const args = enterArguments({
    pid,
    namespaces: HOST_NAMESPACES | (state.rootless ? CLONE.NEWUSER : 0) | (host.clocks ? CLONE.NEWTIME : 0),
    cpu: host.cpu,
    nofile: command.nofile ?? null,
    ignored: command.ignored ?? 0n,
    cwd: command.cwd,
    argv: command.argv,
    path: command.env["PATH"] ?? STANDARD_PATH,
    message: `tesela: ${command.argv[0]}: no such program on ${host.name}, or it cannot be executed\n`,
  });
  // The waiter lies in the host's own memory, where execution is allowed whatever the machine's mounts say.
  const file = `/proc/${pid}/root/run/tesela-enter`;
  if (host.cgroups.length === 0) return { file, args: args.slice(1), env: command.env };
  const join = 'groups=$1; shift; for g in $groups; do echo 0 >"$g/cgroup.procs" || exit 1; done; exec "$@"';
  return { file: "/bin/sh", args: ["-c", join, "sh", host.cgroups.join(" "), file, ...args.slice(1)], env: command.env };
}
