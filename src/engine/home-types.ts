import type { Log, NodeId } from "../base/mod.ts";
import type { Tracees } from "../sys/mod.ts";
import type { Deputy } from "./deputy.ts";
import type { Frozen } from "./freeze.ts";
import type { HomeProcess } from "./home-process.ts";
import type { HomeThread } from "./home-thread.ts";
import type { Data } from "../wire/mod.ts";
import type { Reaches } from "./reaches.ts";

/** What a home process says to the node its guest runs on. */
export interface HostLink {
  readonly node: NodeId;
  /** For how long it has been out of reach, null while it is not. */
  readonly cutMs: number | null;
  reply(ticket: number, seq: number, result: bigint, out: readonly Uint8Array[]): void;
  /** Gives back the memory of a call's data, which nobody looks at afterwards. */
  release(payload: Uint8Array): void;
  signal(ticket: number, seq: number, info: Uint8Array): void;
  pause(ticket: number, paused: boolean): void;
  drop(ticket: number): void;
  /** A move begins, or has not begun after all: while it lasts a guest does not go on from a call that it stands in. */
  stand(ticket: number, on: boolean): void;
  /** A thread that is not the first has ended at home: so does its guest. Resolves when it has. */
  end(ticket: number): Promise<unknown>;
  /** What the guest's files in /proc say there: those about its memory, or its arguments and environment. */
  view(ticket: number, ofThread: boolean, strings: boolean): Promise<Data>;
}

export type Phase =
  /** Being frozen and captured, or rebuilt: the deputy works for the engine. */
  | "moving"
  /** Its user area is on another node. */
  | "away"
  /** Ended, or left alone again. */
  | "gone";

export interface HomeOptions {
  /** Of the first thread. */
  readonly deputy: Deputy;
  readonly frozen: Pick<Frozen, "stopRequested">;
  readonly ticket: number;
  /** Gives out one for another thread. */
  readonly nextTicket: () => number;
  /** Threads of this home that are away, by ticket. */
  readonly directory: Map<number, HomeThread>;
  readonly reaches: Reaches;
  readonly tracees: Tracees;
  readonly log: Log;
  /** See {@link Image.signalsAtHome}. */
  readonly signalsAtHome: boolean;
  readonly onGone: (p: HomeProcess) => void;
}

/** A signal that a thread is to take at home. */
export interface HomeSignal {
  readonly info: Uint8Array;
  readonly thread: HomeThread;
}

/** In place of the number of a call that brings a process home, where none does. */
export const NO_CALL = 0xffff_ffff;
