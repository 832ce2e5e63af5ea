import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { nodePaths, type Paths, present } from "../base/mod.ts";
import { type ClusterState, findHost, hostEnvironment, launchOn } from "../testbed/mod.ts";

/** A program on a host whose output is wanted. */
export interface Started {
  readonly child: ChildProcess;
  readonly stdout: Promise<string>;
  readonly stderr: Promise<string>;
  /** The first line on descriptor 3. */
  readonly note: Promise<string>;
  /** null: it was killed, or could not start. */
  readonly status: Promise<number | null>;
}

const NOTE_FD = 3;

/** One host of the demo's cluster, as the user at its terminal. */
export class DemoHost {
  readonly name: string;
  /** Its sockets, seen from outside. */
  readonly paths: Paths;
  /** Its root directory, seen from outside. */
  readonly root: string;
  private readonly state: ClusterState;
  private readonly children = new Set<ChildProcess>();

  constructor(state: ClusterState, name: string) {
    this.name = name;
    this.state = state;
    const root = `/proc/${findHost(state, name).init.pid}/root`;
    this.root = root;
    this.paths = nodePaths({
      TESELA_RUN: `${root}/run/tesela`,
      TESELA_STATE: `${root}/var/lib/tesela`,
      TESELA_LOG: `${root}/var/log/tesela`,
    });
  }

  /** A program there; its streams are the caller's. */
  spawn(argv: readonly [string, ...string[]], stdio: StdioOptions): ChildProcess {
    const env = { ...hostEnvironment(this.state, process.env), LC_ALL: "C" };
    const { file, args, env: whole } = launchOn(this.state, this.name, { argv, cwd: "/", env });
    const child = spawn(file, args, { env: whole, stdio });
    this.children.add(child);
    child.on("close", () => this.children.delete(child));
    return child;
  }

  start(argv: readonly [string, ...string[]]): Started {
    const child = this.spawn(argv, ["ignore", "pipe", "pipe", "pipe"]);
    const status = once(child, "close").then(
      ([code]) => code as number | null,
      () => null,
    );
    const note = present(child.stdio[NOTE_FD] as Readable | null, "descriptor 3");
    return {
      child,
      stdout: text(present(child.stdout, "stdout")),
      stderr: text(present(child.stderr, "stderr")),
      note: firstLine(note),
      status,
    };
  }

  /** A command to its end. */
  async run(argv: readonly [string, ...string[]]): Promise<{ status: number | null; stdout: string; stderr: string }> {
    const { stdout, stderr, status } = this.start(argv);
    return { stdout: await stdout, stderr: await stderr, status: await status };
  }

  /** Ends what still runs; what it started ends with the cluster. */
  killAll(): void {
    for (const child of this.children) child.kill("SIGKILL");
  }
}

async function text(stream: Readable): Promise<string> {
  let all = "";
  stream.setEncoding("utf8");
  for await (const part of stream) all += part;
  return all;
}

/** As soon as it is there: others may keep the far end open. Empty when there is none. */
function firstLine(stream: Readable): Promise<string> {
  return new Promise((resolve) => {
    let all = "";
    stream.setEncoding("utf8");
    stream.on("data", (part: string) => {
      all += part;
      if (all.includes("\n")) resolve(all.slice(0, all.indexOf("\n")));
    });
    stream.on("close", () => resolve(""));
  });
}
