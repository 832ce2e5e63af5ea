import { type Frozen, type FrozenProcess, threadsOf } from "./freeze.ts";

/** How one thread goes on at home, and the signals that its guest had pending for it alone. */
export interface Landing extends Pick<Frozen, "tid" | "regs" | "xstate" | "sigmask" | "restart"> {
  readonly pending?: readonly Uint8Array[];
}

/** The frozen threads of a process that goes on at home as if nothing had been. */
export const landingsOf = (frozen: FrozenProcess): Landing[] => threadsOf(frozen).map((f) => ({ ...f, pending: [] }));
