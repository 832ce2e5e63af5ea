import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Log, type NodeId, nodeId } from "../base/mod.ts";
import { ALPN, type Channel, channels, MemoryNetwork, type MemoryTransport, type PeerAddress, SeededRandom } from "../io/mod.ts";
import { isEnd, libc, ptrace, Tracees } from "../sys/mod.ts";
import { Faults } from "./faults.ts";
import { FileCache } from "./file-cache.ts";
import type { FrozenProcess } from "./freeze.ts";
import { Deputy } from "./deputy.ts";
import { Home } from "./home.ts";
import { HomeProcess } from "./home-process.ts";
import type { HomeThread } from "./home-thread.ts";
import { Hosting } from "./hosting.ts";
import { type NodeFacts, readNodeFacts } from "./node-facts.ts";
import { seizeAndFreeze } from "./seize.ts";
import { Reaches } from "./reaches.ts";
import { readsSignals } from "./signals-at-home.ts";
import { Zygote } from "./zygote.ts";

/** For tests: real processes, and engines of several nodes in this one process with a network in memory between them. */

const PATIENCE_MS = 60_000;
const POLL_MS = 1;
const ANSWER_MS = 35_000;
/** For one step of a move: more than many processes take that take theirs at once, on a machine that may be busy. */
export const STEP_MS = 10_000;

interface Shell {
  readonly pid: number;
  over: boolean;
}

/** A program under a shell that reports its end: the tracer of a process must not be its parent, as in real life. */
export class TestProgram implements Disposable {
  readonly pid: number;
  private readonly shell: Shell;
  private readonly dir: string;

  private constructor(shell: Shell, dir: string) {
    this.shell = shell;
    this.pid = Number(read(join(dir, "pid")));
    this.dir = dir;
  }

  /** Runs `argv` (words as the shell takes them) up to its line `ready`. It may have ended by the time that this is seen. */
  static async start(tracees: Tracees, ...argv: readonly string[]): Promise<TestProgram> {
    const dir = mkdtempSync(join(tmpdir(), "tesela-engine-"));
    const fds = ["/dev/null", "out", "err"].map((name, i) => openSync(i === 0 ? name : join(dir, name), i === 0 ? "r" : "w"));
    writeFileSync(join(dir, "run"), `echo $$ >${dir}/pid\nexec ${argv.join(" ")}\n`);
    const script = `ulimit -c 0; sh ${dir}/run; echo "status $?"`;
    const shell: Shell = { pid: libc.spawn("/bin/sh", ["sh", "-c", script], fds), over: false };
    for (const fd of fds) closeSync(fd);
    tracees.claim(shell.pid, (s) => {
      if (isEnd(s)) shell.over = true;
    });
    for (let waited = 0; !read(join(dir, "out")).includes("ready\n"); waited += POLL_MS) {
      if (waited > PATIENCE_MS || shell.over) throw new Error(`${argv.join(" ")} does not get ready: ${read(join(dir, "err"))}`);
      await sleep(POLL_MS);
    }
    return new TestProgram(shell, dir);
  }

  get stdout(): string {
    return read(join(this.dir, "out"));
  }
  get stderr(): string {
    return read(join(this.dir, "err"));
  }

  /** Waits for a text in its output. */
  async says(text: string): Promise<void> {
    for (let waited = 0; !this.stdout.includes(text); waited += POLL_MS) {
      if (waited > PATIENCE_MS || this.shell.over) throw new Error(`no '${text}' in: ${this.stdout} ${this.stderr}`);
      await sleep(POLL_MS);
    }
  }

  signal(signal: number): void {
    libc.kill(this.pid, signal);
  }

  /** What it has written, standard error behind it, once it has ended: the last line is `status N`. */
  async end(): Promise<string> {
    for (let waited = 0; !this.shell.over; waited += POLL_MS) {
      if (waited > PATIENCE_MS) throw new Error(`it does not end: ${this.stdout} ${this.stderr} ${read(`/proc/${this.pid}/status`)}`);
      await sleep(POLL_MS);
    }
    return this.stdout + this.stderr;
  }

  [Symbol.dispose](): void {
    if (!this.shell.over) {
      libc.kill(this.pid, 9);
      libc.kill(this.shell.pid, 9);
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** Freezes a process, and makes all its threads deputies. */
export async function enterAll(tracees: Tracees, pid: number, log: Log): Promise<{ home: HomeProcess; frozen: FrozenProcess }> {
  const frozen = await seizeAndFreeze(tracees, { pid, seized: false });
  let tickets = 1;
  const [deputy, directory] = [Deputy.enter(tracees, frozen.leader, log), new Map<number, HomeThread>()];
  const nextTicket = (): number => ++tickets;
  const parts = {
    nextTicket,
    directory,
    reaches: new Reaches(directory),
    tracees,
    log,
    signalsAtHome: readsSignals(pid),
    onGone: (): void => {},
  };
  const home = new HomeProcess({ deputy, frozen: frozen.leader, ticket: 1, ...parts });
  ptrace.cont(pid);
  await home.seat(frozen.others);
  return { home, frozen };
}

/** A process and all that descend from it. */
export function tree(pid: number): number[] {
  const out: number[] = [];
  for (const queue = [pid]; queue.length > 0; ) {
    const next = queue.pop() as number;
    out.push(next);
    try {
      for (const task of readdirSync(`/proc/${next}/task`)) {
        const children = readFileSync(`/proc/${next}/task/${task}/children`, "utf8").trim();
        if (children !== "") queue.push(...children.split(" ").map(Number));
      }
    } catch {
      // It ended while we looked.
    }
  }
  return out;
}

export interface TestNode {
  readonly id: NodeId;
  readonly hosting: Hosting;
  readonly transport: MemoryTransport;
  readonly facts: NodeFacts;
  readonly faults: Faults;
  /** Engines' links that others have opened. */
  readonly links: Channel[];
  /** Its engine does not look at what comes on bulk connections before this. */
  gate: Promise<void>;
}

/** Node 1 is the home of what the test starts; all of them can take guests. */
export class TestNodes implements AsyncDisposable {
  readonly tracees = new Tracees();
  readonly network = new MemoryNetwork();
  readonly nodes: TestNode[] = [];
  readonly log: Log;
  private readonly logFile: string;
  readonly addresses: PeerAddress[] = [];
  private readonly stack = new AsyncDisposableStack();
  home!: Home;

  private constructor(logFile: string) {
    this.logFile = logFile;
    const fd = openSync(logFile, "a");
    this.stack.defer(() => closeSync(fd));
    this.log = new Log({ level: "debug", fd });
  }

  /** What all engines have logged. */
  get logged(): string {
    return read(this.logFile);
  }

  /** @param foreign nodes that take home's kernel for another than theirs */
  static async start(count: number, stepMs = STEP_MS, foreign: readonly number[] = [], answerMs = ANSWER_MS): Promise<TestNodes> {
    const dir = mkdtempSync(join(tmpdir(), "tesela-nodes-"));
    const all = new TestNodes(`${dir}/log`);
    all.stack.use(all.tracees);
    all.stack.defer(() => rmSync(dir, { recursive: true }));
    for (let i = 1; i <= count; i++) await all.add(nodeId(i), dir, { stepMs, answerMs }, foreign.includes(i));
    return all;
  }

  private async add(id: NodeId, dir: string, times: { stepMs: number; answerMs: number }, foreign: boolean): Promise<void> {
    const { tracees, log, network } = this;
    const transport = network.transport({ node: id, name: `n${id}`, version: "test", address: `n${id}` });
    const faults = new Faults();
    const facts = { ...readNodeFacts(id), ...(foreign && { vdso: "another" }) };
    const shared = { tracees, transport, facts, carry: { ...times, faults, log }, log };
    const zygote = this.stack.use(Zygote.start(tracees, `${dir}/empty`, log));
    const hosting = new Hosting({ ...shared, peers: () => this.addresses, zygote, cache: this.stack.use(new FileCache()) });
    const links: Channel[] = [];
    const node: TestNode = { id, hosting, transport, facts, faults, links, gate: Promise.resolve() };
    const listener = await transport.listen({
      [ALPN.ENGINE]: channels((c) => {
        links.push(c);
        hosting.link(c);
      }),
      [ALPN.BULK]: channels((c) => void node.gate.then(() => hosting.bulk(c))),
    });
    this.stack.use(listener);
    this.addresses.push({ node: id, address: `n${id}`, port: listener.port });
    this.nodes.push(node);
    if (id === 1) this.home = new Home({ ...shared, node: id, peers: () => this.addresses });
  }

  node(id: number): TestNode {
    const node = this.nodes[id - 1];
    if (!node) throw new Error(`there is no node ${id}`);
    return node;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { links } of this.nodes) for (const link of links) link.close();
    await this.stack.disposeAsync();
  }
}

/** Chance of a test; a failing run is repeated by its seed. */
export const SEED = Number(process.env.TESELA_SEED ?? Math.floor(Math.random() * 1e9));
export const seeded = (): SeededRandom => new SeededRandom(SEED);
