import { ptrace } from "../sys/mod.ts";
import { signalOf } from "./guest-build.ts";
import { signalBit } from "./signals.ts";
import { comesAgain, overrunOf } from "./ticks.ts";

/** For so long a deputy is left alone by a timer that is faster than its signals are answered. */
const REST_MS = 1;
/** A timer whose signals do not tell how many were missed is that fast when they follow one another within this. */
const FAST_MS = 2;

/**
 * A timer sends its next signal before the last one has been answered, if it is fast: its deputy would go from one stop to the next, and do nothing
 * in between. So it has that signal blocked for a moment. Nothing is lost: the kernel counts what its timer has not sent.
 */
export class Rests {
  private readonly tid: number;
  private readonly wake: () => void;
  private last = Number.NEGATIVE_INFINITY;
  private over = false;
  /** What has come is too fast. */
  private wanted = 0n;

  /** @param wake is to stop the thread, so that {@link end} can be called */
  constructor(tid: number, wake: () => void) {
    this.tid = tid;
    this.wake = wake;
  }

  /** A signal stops the deputy. */
  comes(info: Uint8Array): void {
    const isFast = comesAgain(info) && (overrunOf(info) > 0 || performance.now() - this.last < FAST_MS);
    this.wanted = isFast ? signalBit(signalOf(info)) : 0n;
  }

  /** From that stop the deputy is about to go on. @param mask that it has otherwise */
  begin(mask: bigint): void {
    this.last = performance.now();
    if (this.wanted === 0n) return;
    ptrace.setSigmask(this.tid, mask | this.wanted);
    this.wanted = 0n;
    setTimeout(() => {
      this.over = true;
      this.wake();
    }, REST_MS);
  }

  get isOver(): boolean {
    return this.over;
  }

  /** The deputy is stopped, by what was asked for or anything else. */
  end(mask: bigint): void {
    if (!this.over) return;
    this.over = false;
    ptrace.setSigmask(this.tid, mask);
  }
}
