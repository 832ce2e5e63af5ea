import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import type { Duplex, Readable, Writable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { fileURLToPath } from "node:url";

export interface TerminalOptions {
  readonly rows?: number;
  readonly columns?: number;
}

const HELPER = fileURLToPath(new URL("./terminal.py", import.meta.url));
/** The distribution's own, where it is: others are wrapped in shell scripts that take a while. */
const PYTHON = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
/** Hang guard of one wait. */
const WAIT_MS = 60_000;

/** A program on a pseudo-terminal: types into it and waits for what it shows. */
export class Terminal implements AsyncDisposable {
  /** The program's PID, as its host counts. */
  readonly pid: number;
  /** Everything shown so far. */
  output = "";
  /** Resolves to the program's status, 128+n for a signal. */
  readonly ended: Promise<number>;
  private readonly child: ChildProcess;
  private seen = 0;
  private over = false;
  private wake: () => void = () => undefined;

  private constructor(child: ChildProcess, pid: number, early: Buffer[]) {
    this.child = child;
    this.pid = pid;
    const decoder = new StringDecoder("utf8");
    const show = (part: Buffer): void => {
      this.output += decoder.write(part);
      this.wake();
    };
    for (const part of early) show(part);
    child.stdout?.on("data", show);
    this.ended = once(child, "close").then(([code, signal]) => {
      this.over = true;
      this.wake();
      return signal === null ? (code as number) : 137;
    });
  }

  /** The command line that puts a program on a terminal: stdin is typed, stdout shown, descriptor 3 the control stream. */
  static command(argv: readonly string[], options: TerminalOptions = {}): [string, ...string[]] {
    return [PYTHON, HELPER, String(options.rows ?? 24), String(options.columns ?? 80), ...argv];
  }

  /** Over a child that runs such a command line with pipes at 0, 1 and 3. */
  static async over(child: ChildProcess): Promise<Terminal> {
    const early: Buffer[] = [];
    const keep = (part: Buffer): void => void early.push(part);
    child.stdout?.on("data", keep);
    child.stdin?.on("error", () => child.stdin?.destroy());
    const control = child.stdio[3] as Duplex;
    control.on("error", () => control.destroy());
    const first = await Promise.race([once(control, "data"), once(child, "close")]);
    child.stdout?.off("data", keep);
    if (!Buffer.isBuffer(first[0])) throw new Error(`the terminal did not come up: ${Buffer.concat(early).toString()}`);
    return new Terminal(child, Number(first[0].toString()), early);
  }

  /** Types; `\x03` is ^C, `\x04` ^D, `\x1a` ^Z. */
  type(text: string): void {
    (this.child.stdin as Writable).write(text);
  }

  line(text: string): void {
    this.type(`${text}\n`);
  }

  /** The terminal's window gets another size; its programs get SIGWINCH. */
  resize(rows: number, columns: number): void {
    (this.child.stdio[3] as Duplex).write(`${rows} ${columns}\n`);
  }

  /**
   * Waits until it shows this after what was waited for last; a text stands for itself.
   * @returns the match
   */
  async expect(what: string | RegExp, timeoutMs: number = WAIT_MS): Promise<RegExpExecArray> {
    const pattern = typeof what === "string" ? new RegExp(RegExp.escape(what)) : what;
    const end = performance.now() + timeoutMs;
    for (;;) {
      const match = pattern.exec(this.output.slice(this.seen));
      if (match) {
        this.seen += match.index + match[0].length;
        return match;
      }
      const left = end - performance.now();
      if (this.over || left <= 0) {
        throw new Error(`the terminal ${this.over ? "ended" : "waited"} without ${pattern}: ${JSON.stringify(this.output.slice(-2000))}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Ends the terminal; its programs are hung up. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    (this.child.stdout as Readable).resume();
    await this.ended;
  }
}
