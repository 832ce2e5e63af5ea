import { TeselaError } from "../base/mod.ts";

/** The points of a move at which a test may make it fail. */
export const FAULT_POINTS = ["offer", "files", "freeze", "capture", "image", "pages", "end", "go", "reshape", "land", "stand"] as const;
export type FaultPoint = (typeof FAULT_POINTS)[number];
export type FaultAction = "fail" | "die" | "wait";

/** Armed faults, each for its next pass only. `wait` holds the step until it is released or the time is over. */
export class Faults {
  private readonly armed = new Map<FaultPoint, { action: FaultAction; ms: number }>();
  private readonly holding = new Set<() => void>();
  /** The armed point that was passed last, or is being held at, for tests that act meanwhile; null from the arming of another one on. */
  reached: FaultPoint | null = null;

  arm(point: FaultPoint, action: FaultAction, ms = 0): void {
    this.reached = null;
    this.armed.set(point, { action, ms });
  }
  /** Lets go on who is held. */
  release(): void {
    for (const go of this.holding) go();
  }
  /** Until it is released, or the time is over. */
  async hold(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    this.holding.add(resolve);
    await promise;
    this.holding.delete(resolve);
    clearTimeout(timer);
  }
  take(point: FaultPoint): { action: FaultAction; ms: number } | undefined {
    const fault = this.armed.get(point);
    this.armed.delete(point);
    if (fault) this.reached = point;
    return fault;
  }
}

/** Passes a point of a move. @throws TeselaError E_FAULT_INJECTED when a test has armed it */
export async function step(faults: Faults, point: FaultPoint): Promise<void> {
  const fault = faults.take(point);
  if (!fault) return;
  switch (fault.action) {
    case "fail":
      throw new TeselaError("E_FAULT_INJECTED", `a test made the move fail at '${point}'`);
    case "die":
      process.kill(process.pid, "SIGKILL");
      return;
    case "wait":
      await faults.hold(fault.ms);
  }
}
