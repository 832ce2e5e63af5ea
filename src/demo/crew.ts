import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { present, TeselaError } from "../base/mod.ts";
import { ENDED } from "./records.ts";

const POLL_MS = 50;
const MAX_STDERR = 4000;
/** Ending it takes as long as it takes to signal its children, wherever they are; then its parent is killed, and they end by SIGPIPE. */
const END_MS = 20_000;
/** Against hangs only: a child that somebody kills before its first record says nothing. */
const READY_MS = 300_000;
/** What stands for a line that is no number: equal to nothing, and no total. */
const NO_TOTAL = -1;

/** A parent with children that process records (records.ts), and what they have said so far. */
export class Crew {
  readonly pids: number[] = [];
  /** By child: the total after each of its records, in order. */
  readonly totals: number[][];
  /** By child: its exit status, once ended. */
  readonly ends: (number | null)[];
  private readonly child: ChildProcess;
  private readonly closed: Promise<unknown>;
  private taken: number[];
  private stderr = "";
  private rest = "";
  private over = false;

  /** @param child just started, with pipes as stdin, stdout and stderr */
  constructor(child: ChildProcess, size: number) {
    this.child = child;
    this.totals = Array.from({ length: size }, () => []);
    this.ends = new Array<null>(size).fill(null);
    this.taken = new Array<number>(size).fill(0);
    const stdout = present(child.stdout, "stdout").setEncoding("utf8");
    const stderr = present(child.stderr, "stderr").setEncoding("utf8");
    stdout.on("data", (part: string) => this.read(part));
    stderr.on("data", (part: string) => {
      this.stderr = (this.stderr + part).slice(-MAX_STDERR);
    });
    // Its end is what is wanted, and not how it takes a closed pipe.
    child.stdin?.on("error", () => undefined);
    this.closed = once(child, "close").then(
      () => this.close(),
      (e: unknown) => this.close(e as Error),
    );
  }

  /** @throws TeselaError when it has ended; the signal's reason */
  async ready(signal: AbortSignal): Promise<void> {
    const tooLong = performance.now() + READY_MS;
    const begun = (): boolean => this.totals.every((t) => t.length > 0);
    await this.until(() => begun() || performance.now() > tooLong, signal);
    if (!begun()) throw new TeselaError("E_TIMEOUT", `some of the children have processed nothing in ${READY_MS / 1000} s`);
  }

  /** Until the first child has said so many lines. */
  async reach(records: number, signal: AbortSignal): Promise<void> {
    await this.until(() => (this.totals[0] ?? []).length >= records, signal);
  }

  /** Records of each child since it was last asked. */
  take(): number[] {
    const now = this.totals.map((t) => t.length);
    const since = now.map((n, i) => n - (this.taken[i] ?? 0));
    this.taken = now;
    return since;
  }

  /** Ends it; afterwards all that was said is known. */
  async end(): Promise<void> {
    this.child.stdin?.end();
    const tooLong = new AbortController();
    void sleep(END_MS, undefined, { signal: tooLong.signal }).then(
      () => this.child.kill("SIGKILL"),
      () => undefined,
    );
    await this.closed;
    tooLong.abort();
  }

  /** Children that were not ended by us: their numbers and statuses. */
  failed(): { child: number; status: number | null }[] {
    return this.ends.flatMap((status, child) => (status === ENDED ? [] : [{ child, status }]));
  }

  private async until(done: () => boolean, signal: AbortSignal): Promise<void> {
    while (!done()) {
      const ended = this.failed().find(({ status }) => status !== null);
      if (this.over || ended) {
        const how = ended ? `child ${ended.child} ended with status ${ended.status}` : "all ended";
        throw new TeselaError("E_INTERNAL", `the children do not process records: ${this.stderr.trim() || how}`);
      }
      await sleep(POLL_MS, undefined, { signal });
    }
    signal.throwIfAborted();
  }

  private close(e?: Error): void {
    if (e) this.stderr += e.message;
    this.over = true;
  }

  private read(part: string): void {
    const lines = (this.rest + part).split("\n");
    this.rest = lines.pop() ?? "";
    for (const line of lines) this.line(line.split(" "));
  }

  private line([first = "", second = "", third = ""]: string[]): void {
    if (first === "pid") this.pids[Number(second)] = Number(third);
    // The first word stands: a child that says it cannot go on may still be there to be ended.
    else if (first === "end") this.ends[Number(second)] ??= Number(third);
    else this.totals[Number(first)]?.push(/^\d+$/.test(second) ? Number(second) : NO_TOTAL);
  }
}

/** Records of a child that are not what they should be; `right` is at least as long. */
export function wrongRecords(totals: readonly number[], right: readonly number[]): number {
  return totals.reduce((wrong, total, i) => wrong + (total === right[i] ? 0 : 1), 0);
}
