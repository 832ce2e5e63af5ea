/** What the figures share: a cluster to measure on, plain TCP between its hosts to compare with, medians, and how a figure is told. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type HostProcess, startCluster, type TestCluster } from "../test/cluster/harness.ts";

export type Host = 1 | 2 | 3;
/** Addresses of a local cluster's hosts. */
const addressOf = (host: Host): string => `10.88.0.${host}`;
const PORTS = { c: 9001, node: 9002 } as const;

/** One line of the table. Times in the unit, limits measured in the same run. */
export interface Row {
  readonly what: string;
  readonly unit: "ms" | "us" | "MB";
  readonly value: number;
  /** Each limit by name, in the same unit. */
  readonly limits: Readonly<Record<string, number>>;
  /** value / limit, by the limit's name: the median over rounds of the ratio in each. */
  readonly ratios: Readonly<Record<string, number>>;
  /** What it should be at most: a ratio to the limit named, or a value. */
  readonly target?: { readonly at: number; readonly of: string };
  readonly rounds: number;
}

/** What one round measured: a value, and the limits beside it. */
export interface Measured {
  readonly value: number;
  readonly limits: Readonly<Record<string, number>>;
}

export interface Figure {
  readonly title: string;
  /** The programs of `bench/programs` that it runs. */
  readonly programs: readonly string[];
  measure(lab: Lab, rounds: number): Promise<Row[]>;
}

export const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1] ?? Number.NaN;

/** A row from what each round measured: the value and the limits, side by side. */
export function row(what: string, unit: Row["unit"], rounds: readonly Measured[], target?: Row["target"]): Row {
  const names = Object.keys(rounds[0]?.limits ?? {});
  const over = (f: (round: (typeof rounds)[number], name: string) => number): Record<string, number> =>
    Object.fromEntries(names.map((name) => [name, round(median(rounds.map((r) => f(r, name))))]));
  return {
    what,
    unit,
    value: round(median(rounds.map((r) => r.value))),
    limits: over((r, name) => r.limits[name] ?? Number.NaN),
    ratios: over((r, name) => r.value / (r.limits[name] ?? Number.NaN)),
    rounds: rounds.length,
    ...(target && { target }),
  };
}

const round = (n: number): number => Number(n.toPrecision(4));

/** A program of `bench/programs` that answers lines with lines. */
export class Talker implements AsyncDisposable {
  readonly pid: number;
  readonly outerPid: number;
  private readonly process: HostProcess;
  private readonly lines: AsyncIterator<string>;
  private readonly reader: Interface;

  constructor(process: HostProcess) {
    this.process = process;
    this.pid = process.pid;
    this.outerPid = process.outerPid;
    if (!process.child.stdout) throw new Error("a program without stdout");
    this.reader = createInterface(process.child.stdout);
    this.lines = this.reader[Symbol.asyncIterator]();
  }

  async read(): Promise<string> {
    const { value, done } = await this.lines.next();
    if (done) throw new Error("the program ended");
    return value;
  }

  ask(line: string): Promise<string> {
    this.process.child.stdin?.write(`${line}\n`);
    return this.read();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.child.stdin?.end();
    const late = setTimeout(() => this.process.child.kill("SIGKILL"), 10_000);
    await this.process.ended;
    clearTimeout(late);
    this.reader.close();
  }
}

/** Three hosts, the programs built, and a TCP server of each kind on every host. */
export class Lab implements AsyncDisposable {
  readonly cluster: TestCluster;
  /** Goes with the lab; hosts see it too. */
  readonly dir: string;
  private readonly stack: AsyncDisposableStack;

  private constructor(cluster: TestCluster, dir: string, stack: AsyncDisposableStack) {
    this.cluster = cluster;
    this.dir = dir;
    this.stack = stack;
  }

  /** @param programs what figures run on it */
  static async open(programs: readonly string[]): Promise<Lab> {
    await using stack = new AsyncDisposableStack();
    const dir = mkdtempSync(join(tmpdir(), "tesela-bench-"));
    stack.defer(() => rmSync(dir, { recursive: true, force: true }));
    for (const name of ["tcp", ...programs]) build(name, dir);
    const cluster = stack.use(await startCluster({ n: 3 }));
    const lab = new Lab(cluster, dir, stack.move());
    for (const host of [1, 2, 3] as const) {
      for (const kind of ["c", "node"] as const) await lab.serve(host, kind);
    }
    return lab;
  }

  /** A program on host 1, as a user starts it. */
  async start(name: string, ...args: string[]): Promise<Talker> {
    return new Talker(await this.cluster.spawn(1, [join(this.dir, name), ...args], { stdio: ["pipe", "pipe", "inherit"] }));
  }

  /** Makes sure that the machine has so much memory at hand, see programs/warm.c. */
  async warm(mib: number): Promise<void> {
    await this.cluster.output(1, [join(this.dir, "warm"), String(mib)]);
  }

  /** Milliseconds that plain TCP needs to carry `bytes` from one host to another, by each kind of program. */
  async pour(from: Host, to: Host, bytes: number): Promise<{ readonly c: number; readonly node: number }> {
    const of = async (kind: "c" | "node"): Promise<number> => Number(await this.tcp(from, kind, "pour", addressOf(to), PORTS[kind], bytes));
    return { c: await of("c"), node: await of("node") };
  }

  /** Median microseconds of a TCP round trip with so many bytes there and back. */
  async ping(from: Host, to: Host, there: number, back: number, count: number): Promise<{ readonly c: number; readonly node: number }> {
    const of = async (kind: "c" | "node"): Promise<number> =>
      Number(await this.tcp(from, kind, "ping", addressOf(to), PORTS[kind], there, back, count));
    return { c: await of("c"), node: await of("node") };
  }

  private tcp(from: Host, kind: "c" | "node", ...args: (string | number)[]): Promise<string> {
    return this.cluster.output(from, [...this.command(kind), ...args.map(String)]);
  }

  private command(kind: "c" | "node"): [string, ...string[]] {
    return kind === "c" ? [join(this.dir, "tcp")] : [process.execPath, fileURLToPath(new URL("tcp.ts", import.meta.url))];
  }

  private async serve(host: Host, kind: "c" | "node"): Promise<void> {
    const server = await this.cluster.spawn(host, [...this.command(kind), "serve", String(PORTS[kind])], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.stack.defer(async () => {
      process.kill(server.outerPid, "SIGKILL");
      await server.ended;
    });
    await new Promise<void>((resolve) => server.child.stdout?.once("data", () => resolve()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stack.disposeAsync();
  }
}

function build(name: string, dir: string): void {
  const source = fileURLToPath(new URL(`programs/${name}.c`, import.meta.url));
  const done = spawnSync("gcc", ["-std=gnu17", "-O2", "-Wall", "-Wextra", "-o", join(dir, name), source], { encoding: "utf8" });
  if (done.error) throw new Error(`building ${name}: ${done.error.message} (tools/setup test)`);
  if (done.status !== 0) throw new Error(`building ${name}: ${done.stderr}`);
}
