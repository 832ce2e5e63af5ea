import { toTeselaError } from "../base/mod.ts";
import { ptrace } from "../sys/mod.ts";
import { ALL_SIGNALS } from "./freeze.ts";
import { Restart } from "./restarts.ts";
import type { HomeThread } from "./home-thread.ts";
import type { HostLink, Phase } from "./home-types.ts";
import type { CallFrame } from "./hot-frames.ts";
import { Sys } from "./numbers.ts";

/** An execve(2) that home makes for a guest. */
export interface Becoming {
  /** The mask that the new program inherits. */
  readonly sigmask: bigint;
  /** A signal has come that the guest has taken into its own queue. */
  spoilt: boolean;
}

const BIRTHS: ReadonlySet<number> = new Set([ptrace.Event.FORK, ptrace.Event.VFORK, ptrace.Event.CLONE]);
/** A stop that tells of a child. */
export const isBirth = (event: number): boolean => BIRTHS.has(event);
export const isExec = (nr: number): boolean => nr === Sys.execve || nr === Sys.execveat;

/**
 * The program becomes another: home's kernel builds that here. Signals wait meanwhile. Should one have come before, which the
 * guest has taken, it is delivered there first, and the call is made again.
 */
export async function becomeProgram(thread: HomeThread, frame: CallFrame, host: HostLink, usualMask: bigint): Promise<void> {
  const { process: p, deputy } = thread;
  const becoming = { sigmask: frame.sigmask, spoilt: false };
  p.becoming = becoming;
  let result: bigint = Restart.NOINTR;
  try {
    await thread.setMask(ALL_SIGNALS);
    if (!becoming.spoilt && p.phase === "away") {
      deputy.poke(deputy.buffer, frame.blob);
      result = await deputy.callRaw(frame.request);
    }
    if ((p.phase as Phase) === "away") await thread.setMask(usualMask);
  } catch (e) {
    // Its end, or its beginning as the program, is told by its stop.
    if (toTeselaError(e).code === "E_GONE") return;
    throw e;
  }
  p.becoming = null;
  host.reply(thread.ticket, frame.seq, result, []);
}
