import { assert } from "../base/mod.ts";
import { pollOne, waitAny, waitNext } from "./ptrace.unsafe.ts";
import { decodeWait, isEnd, type WaitStatus } from "./wait-status.ts";

type Handler = (status: WaitStatus) => void;

/**
 * Hands each tracee's stops to whoever claimed it, on Node's own event loop: SIGCHLD, then waitpid until it has
 * nothing left. There is one of these in a process, in the thread that traces.
 */
export class Tracees implements Disposable {
  private readonly handlers = new Map<number, Handler>();
  /** Stops of tasks that nobody has claimed yet: a child can stop before its parent's event is handled. */
  private readonly early = new Map<number, WaitStatus[]>();
  /** Stops of others that came while one was waited for, oldest first. */
  private readonly others: { readonly tid: number; readonly status: number }[] = [];
  private readonly onChild = (): void => this.drain();
  private readonly sweep: NodeJS.Timeout;

  constructor() {
    process.on("SIGCHLD", this.onChild);
    // A signal listener does not keep the loop alive, and a sweep costs nothing beside a lost wake-up.
    this.sweep = setInterval(this.onChild, 250);
  }

  claim(tid: number, handler: Handler): void {
    this.handlers.set(tid, handler);
    const waiting = this.early.get(tid);
    if (!waiting) return;
    this.early.delete(tid);
    for (const status of waiting) this.deliver(tid, status);
  }

  release(tid: number): void {
    this.handlers.delete(tid);
    this.early.delete(tid);
  }

  /** Blocks until this tracee's next stop: for stops known to be microseconds away. */
  wait(tid: number): WaitStatus {
    const waiting = this.early.get(tid);
    const first = waiting?.shift();
    if (first) {
      if (waiting?.length === 0) this.early.delete(tid);
      return first;
    }
    const status = decodeWait(this.statusOf(tid) ?? this.await(tid));
    // An end is told only once: whoever has claimed the task must hear of it too.
    if (isEnd(status)) setImmediate(() => this.handlers.get(tid)?.(status));
    return status;
  }

  /** The tracee's next stop if it is there already. */
  poll(tid: number): WaitStatus | null {
    const status = this.statusOf(tid);
    return status === null ? null : decodeWait(status);
  }

  private statusOf(tid: number): number | null {
    const at = this.others.findIndex((o) => o.tid === tid);
    return at < 0 ? pollOne(tid) : (this.others.splice(at, 1)[0]?.status ?? null);
  }

  private await(tid: number): number {
    for (;;) {
      const next = waitNext();
      if (next.tid === tid) return next.status;
      if (this.others.length === 0) setImmediate(this.onChild);
      this.others.push(next);
    }
  }

  /** A handler that throws does not keep the other tasks' stops from theirs. */
  drain(): void {
    const take = (): { tid: number; status: number } | null => this.others.shift() ?? waitAny();
    for (let next = take(); next !== null; next = take()) {
      try {
        this.deliver(next.tid, decodeWait(next.status));
      } catch (e) {
        queueMicrotask(() => {
          throw e;
        });
      }
    }
  }

  private deliver(tid: number, status: WaitStatus): void {
    const handler = this.handlers.get(tid);
    if (handler) {
      handler(status);
      return;
    }
    const list = this.early.get(tid) ?? [];
    assert(list.length < 64, `task ${tid} stops and nobody has claimed it`);
    list.push(status);
    this.early.set(tid, list);
  }

  [Symbol.dispose](): void {
    clearInterval(this.sweep);
    process.off("SIGCHLD", this.onChild);
  }
}
