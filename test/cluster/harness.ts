/**
 * Real local clusters for tests:
 *
 *     await using cluster = await startCluster({ n: 3 });
 *     const done = await cluster.exec(1, ["sh", "-c", "exit 7"]);
 *     assert.equal(done.status, 7);
 *
 * A cluster ends with its test process, however that ends; what a killed one left on disk, the next one removes.
 */
import { type ChildProcess, type IOType, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { TeselaError } from "../../src/base/mod.ts";
import {
  type ClusterState,
  capabilities,
  clusterDown,
  clusterNames,
  clusterUp,
  hostEnvironment,
  launchOn,
  setLink,
  type UpOptions,
} from "../../src/testbed/mod.ts";
import { Terminal, type TerminalOptions } from "./terminal.ts";

export type Node = number | string;
export type Argv = readonly [string, ...string[]];

export interface ClusterOptions extends Omit<UpOptions, "hosts" | "leased"> {
  /** Hosts: 3 unless given. */
  readonly n?: number;
}

export interface Where {
  /** `/tmp` unless given. */
  readonly cwd?: string;
  /** Added to the host's usual environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface ExecOptions extends Where {
  readonly input?: string | Buffer;
  /** Then it is killed and the promise fails: a guard against hangs, 120 s unless given. */
  readonly timeoutMs?: number;
}

export interface Done {
  /** 128+n when signal n ended it. */
  readonly status: number;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running program of a host. Its streams are those of `child`, as `stdio` asked for them. */
export interface HostProcess {
  /** As its host counts. */
  readonly pid: number;
  /** As this machine counts. */
  readonly outerPid: number;
  /** The one that waits for it and passes signals on. */
  readonly child: ChildProcess;
  readonly ended: Promise<{ status: number; signal: NodeJS.Signals | null }>;
}

const GUARD_MS = 120_000;
const POLL_MS = 2;
const START_TIMEOUT_MS = 60_000;
const PREFIX = "test-";
const live = new Set<TestCluster>();
let serial = 0;

/** Null where local clusters work, else the reason for `{ skip }`. */
export async function cannot(): Promise<string | false> {
  const { ok, missing } = await capabilities();
  return ok ? false : `local clusters do not work here: ${missing.join("; ")}`;
}

export async function startCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  await removeForgotten();
  const { n = 3, name = `${PREFIX}${process.pid}-${serial++}`, ...rest } = options;
  // What a test is about shall move when the test says so, and what else runs on this machine is not its matter.
  const env = { TESELA_LEVEL: "off", TESELA_RIVALS: "off", ...rest.env };
  const { state } = await clusterUp({ ...rest, env, name, hosts: n, leased: true });
  const cluster = new TestCluster(state);
  if (live.size === 0) for (const signal of ENDING) process.on(signal, interrupted);
  live.add(cluster);
  return cluster;
}

const ENDING = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The test is ended from outside: the clusters go first, then it does as it was told. */
function interrupted(signal: NodeJS.Signals): void {
  for (const other of ENDING) process.off(other, interrupted);
  void Promise.allSettled([...live].map((cluster) => cluster[Symbol.asyncDispose]())).then(() => process.kill(process.pid, signal));
}

/** Clusters of test processes that are gone. */
async function removeForgotten(): Promise<void> {
  for (const name of clusterNames()) {
    const owner = new RegExp(`^${PREFIX}(\\d+)-\\d+$`).exec(name)?.[1];
    if (owner === undefined || existsSync(`/proc/${owner}`)) continue;
    await clusterDown(name).catch((e: unknown) => {
      // Another test process was quicker.
      if (!(e instanceof TeselaError && e.code === "E_NONODE")) throw e;
    });
  }
}

export class TestCluster implements AsyncDisposable {
  readonly state: ClusterState;
  private down: Promise<void> | null = null;

  constructor(state: ClusterState) {
    this.state = state;
  }

  get name(): string {
    return this.state.name;
  }

  /** Runs a program on a host to its end. */
  async exec(node: Node, argv: Argv, options: ExecOptions = {}): Promise<Done> {
    const child = this.launch(node, argv, options, ["pipe", "pipe", "pipe"]);
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout?.on("data", (part: Buffer) => out.push(part));
    child.stderr?.on("data", (part: Buffer) => err.push(part));
    // A program may end without having read all of its input.
    child.stdin?.on("error", () => child.stdin?.destroy());
    child.stdin?.end(options.input ?? "");
    let late = false;
    const guard = setTimeout(() => {
      late = true;
      // The program, not the waiter, which then reaps it and ends; or the waiter, when there is no program yet.
      const program = child.pid === undefined ? null : onlyChild(child.pid);
      if (program === null || !killed(program)) child.kill("SIGKILL");
    }, options.timeoutMs ?? GUARD_MS);
    try {
      const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
      const done = { ...statusOf(code, signal), stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
      if (late)
        throw new Error(
          `${argv.join(" ")} on ${node}: did not end. stdout: ${done.stdout.slice(-2000)} stderr: ${done.stderr.slice(-2000)}`,
        );
      return done;
    } finally {
      clearTimeout(guard);
    }
  }

  /** stdout of a program that has to succeed. */
  async output(node: Node, argv: Argv, options: ExecOptions = {}): Promise<string> {
    const done = await this.exec(node, argv, options);
    if (done.status !== 0) throw new Error(`${argv.join(" ")} on ${node}: status ${done.status}: ${done.stderr || done.stdout}`);
    return done.stdout;
  }

  /** `sh -c` with a script that has to succeed; its stdout without the last newline. */
  async sh(node: Node, script: string, options: ExecOptions = {}): Promise<string> {
    return (await this.output(node, ["sh", "-c", script], options)).replace(/\n$/, "");
  }

  /** Starts a program; returns when it has become it. stdio: all pipes unless given. */
  async spawn(node: Node, argv: Argv, options: Where & { readonly stdio?: readonly (IOType | number)[] } = {}): Promise<HostProcess> {
    const child = this.launch(node, argv, options, options.stdio ?? ["pipe", "pipe", "pipe"]);
    for (const stream of child.stdio) stream?.on("error", () => stream.destroy());
    const ended = once(child, "exit").then(([code, signal]) => statusOf(code as number | null, signal as NodeJS.Signals | null));
    const { pid, outerPid } = await this.findProgram(child, argv);
    return { pid, outerPid, child, ended };
  }

  /** Starts a program on a pseudo-terminal of its own, 24 rows of 80 columns unless told otherwise. */
  async tty(node: Node, argv: Argv, options: Where & TerminalOptions = {}): Promise<Terminal> {
    const env = { TERM: "xterm", LANG: "C.UTF-8", ...options.env };
    const child = this.launch(node, Terminal.command(argv, options), { ...options, env }, ["pipe", "pipe", "inherit", "pipe"]);
    return await Terminal.over(child);
  }

  /**
   * What a `tesela` command of a host prints with --json.
   * @throws TeselaError the command's own error
   */
  async tesela<T = unknown>(node: Node, ...args: string[]): Promise<T> {
    const done = await this.exec(node, ["tesela", ...args, "--json"]);
    let answer: unknown;
    try {
      answer = JSON.parse(done.stdout);
    } catch (cause) {
      const text = `tesela ${args.join(" ")} on ${node}: status ${done.status}, no JSON: ${done.stdout}${done.stderr}`;
      throw new Error(text, { cause });
    }
    if (done.status === 0) return answer as T;
    throw TeselaError.from(answer as { error: string; message: string });
  }

  cut(node: Node): Promise<void> {
    return setLink(this.name, node, "cut");
  }

  heal(node: Node): Promise<void> {
    return setLink(this.name, node, "up");
  }

  /** All logs of a host, one after the other, or one of them by name (`tesela-engine`). */
  log(node: Node, name?: string): string {
    const host = this.state.hosts.find((h) => h.id === node || h.name === node);
    const dir = `${this.state.dir}/${host?.name ?? node}/log`;
    const files = readdirSync(dir).filter((file) => name === undefined || file === `${name}.log`);
    return files.map((file) => `--- ${file}\n${readFileSync(`${dir}/${file}`, "utf8")}`).join("\n");
  }

  /**
   * Signals a host's service (`teselad`, `tesela-engine`), once it has begun; it is started again unless `stay` says that it shall stay ended.
   * @returns its PID, as the host counts
   */
  async kill(node: Node, service: string, signal: string, options: { stay?: boolean } = {}): Promise<number> {
    const files = `/run/services/${service}`;
    const stay = options.stay ? `touch ${files}.down; ` : "";
    return Number(
      await this.sh(
        node,
        `until [ -s ${files}.pid ]; do sleep 0.05; done; ${stay}read -r pid <${files}.pid && kill -${signal.replace(/^SIG/, "")} $pid && echo $pid`,
      ),
    );
  }

  /** Starts a service that was told to stay ended. */
  async start(node: Node, service: string): Promise<void> {
    await this.sh(node, `rm -f /run/services/${service}.down`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.down ??= this.end();
    await this.down;
  }

  private async end(): Promise<void> {
    await clusterDown(this.name);
    live.delete(this);
    if (live.size === 0) for (const signal of ENDING) process.off(signal, interrupted);
  }

  private launch(node: Node, argv: Argv, where: Where, stdio: readonly (IOType | number)[]): ChildProcess {
    const env = { ...hostEnvironment(this.state, process.env), LANG: "C.UTF-8", ...where.env };
    const { file, args } = launchOn(this.state, node, { argv, cwd: where.cwd ?? "/tmp", env });
    // In a session of its own: a terminal that the tests run on is not the program's.
    return spawn(file, args, { stdio: [...stdio], env, detached: true });
  }

  private async findProgram(child: ChildProcess, argv: Argv): Promise<{ pid: number; outerPid: number }> {
    if (child.pid === undefined) await once(child, "spawn");
    const end = performance.now() + START_TIMEOUT_MS;
    while (child.exitCode === null && child.signalCode === null) {
      const outerPid = onlyChild(child.pid ?? 0);
      const pid = outerPid === null || !isProgram(outerPid) ? null : innerPid(outerPid);
      if (outerPid !== null && pid !== null) return { pid, outerPid };
      if (performance.now() > end) break;
      await sleep(POLL_MS);
    }
    throw new Error(`${argv.join(" ")}: did not start, or ended at once with status ${child.exitCode}`);
  }
}

function statusOf(code: number | null, signal: NodeJS.Signals | null): { status: number; signal: NodeJS.Signals | null } {
  const names = Object.entries(constants.signals) as [NodeJS.Signals, number][];
  if (signal !== null) return { status: 128 + constants.signals[signal], signal };
  const status = code ?? 1;
  return { status, signal: names.find(([, n]) => n === status - 128)?.[0] ?? null };
}

function killed(pid: number): boolean {
  try {
    return process.kill(pid, "SIGKILL");
  } catch {
    // It has just ended.
    return false;
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function onlyChild(pid: number): number | null {
  const [first] = read(`/proc/${pid}/task/${pid}/children`).trim().split(" ");
  return first ? Number(first) : null;
}

/** Before its execve it still has the waiter's command line. */
const isProgram = (pid: number): boolean => {
  const line = read(`/proc/${pid}/cmdline`);
  return line !== "" && !line.startsWith("/proc/") && !line.includes("/run/tesela-enter\0");
};

/** The PID on the host: the innermost of NSpid, proc_pid_status(5). */
function innerPid(pid: number): number | null {
  const numbers = /^NSpid:\s*(.*)$/m.exec(read(`/proc/${pid}/status`))?.[1]?.split(/\s+/);
  return numbers === undefined ? null : Number(numbers.at(-1));
}
