import { writeFileSync } from "node:fs";
import { getPriority, setPriority } from "node:os";
import { NR } from "../abi/mod.ts";
import { addressOf, syscall } from "./libc.unsafe.ts";
import { readStat } from "./proc.ts";

/** Of the session, where it is our own; of the process. */
const SESSION_NICE = -15;
const NICE = -10;
/** Nanoseconds: who asks for short turns is let in before the turn of another is over (sched(7), EEVDF; since Linux 6.12). */
const SLICE_NS = 100_000n;
/** Field of /proc/PID/stat, proc_pid_stat(5). */
const SESSION = 6;
/** struct sched_attr, sched_setattr(2). */
const ATTR_BYTES = 56;
const AT_FLAGS = 8;
const AT_NICE = 16;
const AT_RUNTIME = 24;
const SCHED_FLAG_RESET_ON_FORK = 1n;

/**
 * Lets this process run as soon as it has something to do. A call of a process that is away waits for its engines twice, and on a home that is
 * overloaded, which is why it is away, it would wait for the turn of everybody else: 5.6 ms each in place of 0.2. Nice alone
 * weighs nothing against other sessions where the kernel groups by session (sched(7), autogroup). Children get none of it.
 *
 * What is not permitted, or not known to the kernel, is left out: calls then take longer on a busy machine.
 */
export function answerSoon(): void {
  // A session that is not our own has others in it, whom nobody favours.
  if (Number(readStat(process.pid).field(SESSION)) === process.pid)
    attempt(() => writeFileSync("/proc/self/autogroup", String(SESSION_NICE)));
  attempt(() => setPriority(NICE));
  attempt(takeShortTurns);
}

function takeShortTurns(): void {
  const attr = Buffer.alloc(ATTR_BYTES);
  attr.writeUInt32LE(ATTR_BYTES, 0);
  attr.writeBigUInt64LE(SCHED_FLAG_RESET_ON_FORK, AT_FLAGS);
  attr.writeInt32LE(getPriority(), AT_NICE);
  attr.writeBigUInt64LE(SLICE_NS, AT_RUNTIME);
  syscall("sched_setattr", NR.sched_setattr, 0, addressOf(attr), 0);
}

function attempt(what: () => void): void {
  try {
    what();
  } catch {
    // Said above.
  }
}
