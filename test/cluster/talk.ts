import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { Argv, HostProcess, Node, TestCluster, Where } from "./harness.ts";

/** Talking with a program on a host, line by line. */

/** Hang guard of one wait. */
const WAIT_MS = 120_000;
const POLL_MS = 2;

export class Talk implements AsyncDisposable {
  readonly pid: number;
  readonly outerPid: number;
  readonly ended: HostProcess["ended"];
  /** Everything that was said, in order. */
  readonly lines: string[] = [];
  stderr = "";
  private read = 0;
  private over = false;
  private wake: () => void = () => undefined;
  private readonly child: HostProcess["child"];

  private constructor(p: HostProcess) {
    this.pid = p.pid;
    this.outerPid = p.outerPid;
    this.child = p.child;
    this.ended = p.ended;
    if (p.child.stdout) {
      const input = createInterface({ input: p.child.stdout });
      input.on("line", (line) => {
        this.lines.push(line);
        this.wake();
      });
      input.on("close", () => {
        this.over = true;
        this.wake();
      });
    }
    p.child.stderr?.on("data", (part: Buffer) => {
      this.stderr += part.toString();
    });
  }

  static async start(cluster: TestCluster, argv: Argv, where: Where & { readonly node?: Node } = {}): Promise<Talk> {
    return new Talk(await cluster.spawn(where.node ?? 1, argv, where));
  }

  say(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  endInput(): void {
    this.child.stdin?.end();
  }

  /** The next line. @throws Error at the end of the output, and when none comes */
  async next(): Promise<string> {
    const end = performance.now() + WAIT_MS;
    while (this.read === this.lines.length) {
      if (this.over) throw new Error(`no more lines; the last were: ${this.tail()}`);
      const left = end - performance.now();
      if (left <= 0) throw new Error(`no line came; the last were: ${this.tail()}`);
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
        timer = setTimeout(resolve, left);
      });
      clearTimeout(timer);
    }
    return this.lines[this.read++] as string;
  }

  /** The next lines up to one that matches, that included. */
  async until(pattern: RegExp): Promise<string[]> {
    const lines: string[] = [];
    do lines.push(await this.next());
    while (!pattern.test(lines.at(-1) ?? ""));
    return lines;
  }

  /** All lines of output to its end, and how it ended. */
  async end(): Promise<{ status: number; lines: readonly string[] }> {
    const { status } = await this.ended;
    const late = performance.now() + WAIT_MS;
    while (!this.over && performance.now() < late) await sleep(POLL_MS);
    return { status, lines: this.lines };
  }

  /** Waits until the process at home is in one of these system calls. */
  async blocksIn(...numbers: readonly number[]): Promise<void> {
    await blocksIn(this.outerPid, numbers);
  }

  private tail(): string {
    return `${JSON.stringify(this.lines.slice(-5))} ${this.stderr}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    unlessGone(() => process.kill(this.outerPid, "SIGKILL"));
    this.child.kill("SIGKILL");
    await this.ended;
  }
}

/** Waits until a process of this machine is in one of these system calls. @throws Error when it does not come to that */
export async function blocksIn(outerPid: number, numbers: readonly number[]): Promise<void> {
  const end = performance.now() + WAIT_MS;
  for (;;) {
    const text = unlessGone(() => readFileSync(`/proc/${outerPid}/syscall`, "utf8")) ?? "gone";
    if (numbers.includes(Number.parseInt(text, 10)) && processState(outerPid) === "S") return;
    if (performance.now() > end) throw new Error(`process ${outerPid} is not in system call ${numbers.join(" or ")} but: ${text}`);
    await sleep(POLL_MS);
  }
}

/** The letter in /proc/PID/stat; X for one that is gone. */
export function processState(outerPid: number): string {
  const stat = unlessGone(() => readFileSync(`/proc/${outerPid}/stat`, "utf8"));
  return stat === null ? "X" : (stat.slice(stat.lastIndexOf(")") + 2)[0] ?? "X");
}

/** The result, or null when the process it is about is not there any more. */
export function unlessGone<T>(look: () => T): T | null {
  try {
    return look();
  } catch (e) {
    if (["ENOENT", "ESRCH"].includes((e as NodeJS.ErrnoException).code ?? "")) return null;
    throw e;
  }
}
