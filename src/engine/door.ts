import { OpenWatch, type Opening } from "../sys/mod.ts";
import type { HomeObject } from "./group.ts";

/** How often it is looked for somebody who waits: nobody tells us, and it is rare. */
const LOOK_MS = 5;
/** A PID that nobody has. */
const UNKNOWN = 0;

/**
 * Stands before shared memory that has a name, while it is away: whoever opens it waits until it is home again. Closed, it lets
 * everybody through.
 */
export class Door implements Disposable {
  private readonly watch = new OpenWatch();
  private readonly timer: NodeJS.Timeout;
  private readonly held: Opening[] = [];

  /**
   * @param passes lets those through whose descriptor is looked at afterwards
   * @param onKnock called for every other who comes, at least once, and with 0 while it is not known who
   * @throws SysError where this kernel or user cannot do it
   */
  constructor(objects: readonly HomeObject[], passes: (pid: number) => boolean, onKnock: (pid: number) => void) {
    try {
      for (const { fd } of objects) this.watch.add(fd);
    } catch (e) {
      this.watch[Symbol.dispose]();
      throw e;
    }
    this.timer = setInterval(() => this.look(passes, onKnock), LOOK_MS);
    this.timer.unref();
  }

  private look(passes: (pid: number) => boolean, onKnock: (pid: number) => void): void {
    for (let opening = this.next(); opening; opening = this.next()) {
      if (passes(opening.pid)) opening.allow();
      else {
        this.held.push(opening);
        onKnock(opening.pid);
      }
    }
    // Out of descriptors we do not learn who waits. Held here they have one each: home, all are let through.
    if (this.watch.isDue) onKnock(UNKNOWN);
  }

  private next(): Opening | null {
    try {
      return this.watch.next();
    } catch {
      // Another thread of this process has taken the last descriptor: the kernel has refused whoever that was about.
      return null;
    }
  }

  /** Closing it lets everybody through. */
  [Symbol.dispose](): void {
    clearInterval(this.timer);
    try {
      for (const opening of this.held.splice(0)) opening.allow();
    } finally {
      this.watch[Symbol.dispose]();
    }
  }
}
