import { OpenWatch, type Opening } from "../sys/mod.ts";
import type { HomeObject } from "./group.ts";

/** How often it is looked for somebody who waits: nobody tells us, and it is rare. */
const LOOK_MS = 5;

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
   * @param onKnock called for every other who comes
   * @throws SysError where this kernel or user cannot do it
   */
  constructor(objects: readonly HomeObject[], passes: (pid: number) => boolean, onKnock: (pid: number) => void) {
    try {
      for (const { fd } of objects) this.watch.add(fd);
    } catch (e) {
      this.watch[Symbol.dispose]();
      throw e;
    }
    this.timer = setInterval(() => {
      for (const opening of this.look()) {
        if (passes(opening.pid)) opening.allow();
        else {
          this.held.push(opening);
          onKnock(opening.pid);
        }
      }
    }, LOOK_MS);
    this.timer.unref();
  }

  private look(): Opening[] {
    try {
      return this.watch.waiting();
    } catch {
      // Out of descriptors, say: the kernel has refused whoever that was about, and others are asked about again.
      return [];
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
