import { CLONE, CLONE_ARGS } from "../abi/mod.ts";
import { type Log, TeselaError } from "../base/mod.ts";
import { Stub } from "../image/mod.ts";
import { isErrno, libc, NO_SYSCALL, ptrace, Reg, Regs, type Tracees } from "../sys/mod.ts";
import type { Data } from "../wire/mod.ts";
import { bigintOf, numberOf } from "./asks.ts";
import { type Deputy, injectAt } from "./deputy.ts";
import { ALL_SIGNALS } from "./freeze.ts";
import { isRestart } from "./restarts.ts";
import type { HomeProcess } from "./home-process.ts";
import type { HomeThread } from "./home-thread.ts";
import type { HomeSide, Link } from "./links.ts";
import { Sys } from "./numbers.ts";
import { AF_UNIX, descriptors, fetchDescriptor, setToLoop, SOCK_STREAM_CLOEXEC } from "./seat.ts";

const O_CLOEXEC = 0x80000;
/** In the scratch pages, apart from what others lay out there. */
const PAIR_AT = 0x1800n;
const CLONE_AT = 0x1840n;

/** What the questions about families need of a home. */
export interface Families {
  thread(ticket: number): HomeThread | undefined;
  /** Takes a child's deputy in: away from now on, where its parent is, its signals still blocked. */
  adopt(parent: HomeProcess, forked: Forked): HomeProcess;
  /** The child's guest runs. */
  born(child: HomeProcess): Promise<void>;
}

type Params = Record<string, Data | undefined>;

/** What a host asks when its guest forks, or starts or ends a thread. */
export function familyQuestions(families: Families, tracees: Tracees, log: Log): HomeSide["asks"] {
  const known = (link: Link, p: Params, name: string): HomeThread => {
    const thread = families.thread(numberOf(p, name));
    if (thread?.process.host !== link) throw new TeselaError("E_GONE", "there is no such process here");
    return thread;
  };
  const staying = async (link: Link, p: Params): Promise<HomeThread> => {
    const thread = known(link, p, "ticket");
    await thread.process.mustHaveDeparted();
    return thread;
  };
  return {
    fork: (link) => async (p) => {
      const parent = await staying(link, p);
      return await parent.process.births.take(async () => {
        const forked = await forkDeputy(tracees, parent, { flags: bigintOf(p.flags), exitSignal: numberOf(p, "exitSignal") }, log);
        if ("errno" in forked) return { errno: forked.errno };
        const child = families.adopt(parent.process, forked);
        return { pid: child.pid, ticket: child.ticket };
      });
    },
    thread: (link) => async (p) => {
      const starter = await staying(link, p);
      return await starter.process.births.take(async () => {
        const started = await startDeputy(tracees, starter, bigintOf(p.flags));
        if ("errno" in started) return { errno: started.errno };
        const { deputy } = started;
        const thread = starter.process.add(deputy, started.stopRequested);
        ptrace.cont(thread.tid);
        return { pid: thread.tid, ticket: thread.ticket, area: deputy.buffer, fd: deputy.seat.fd };
      });
    },
    born: (link) => async (p) => {
      const child = known(link, p, "ticket");
      if (child.isLeader) await families.born(child.process);
      // On the move, its signals are let in with the others'.
      else if (child.process.phase === "away") await child.setMask(0n);
      return null;
    },
    leave: (link) => async (p) => {
      const thread = await staying(link, p);
      thread.process.endThread(thread, numberOf(p, "code"), link);
      return null;
    },
    // Also in the middle of a move: no guest is there to go with.
    stillborn: (link) => async (p) => {
      const [parent, child] = [families.thread(numberOf(p, "ticket")), known(link, p, "child")];
      if (!child.isLeader) child.process.endThread(child, 0, null);
      else if (parent) await parent.process.stillborn.bury(parent.deputy, child.tid);
      else child.process.kill("its parent ended as it began");
      return null;
    },
  };
}

/** What becomes of a fork: the child's deputy, not running yet; or the error that the program gets. */
export interface Forked {
  readonly deputy: Deputy;
  readonly stopRequested: boolean;
}
export type Errno = { readonly errno: number };

/**
 * Forks a process that is away: a deputy of it makes the child, which is a deputy from its first instruction on, at the same
 * addresses and with the same descriptor, and stays stopped with all signals blocked.
 * @throws TeselaError E_BUSY when it met a move
 */
export async function forkDeputy(
  tracees: Tracees,
  parent: HomeThread,
  wanted: { readonly flags: bigint; readonly exitSignal: number },
  log: Log,
): Promise<Forked | Errno> {
  const { deputy, tid: pid } = parent;
  const at = deputy.scratch;
  const paired = await deputy.call(Sys.socketpair, AF_UNIX, SOCK_STREAM_CLOEXEC, 0, at + PAIR_AT);
  if (isErrno(paired)) throw new TeselaError("E_NOMEM", `process ${pid} has no descriptors left for a child's deputy`);
  const [ours, theirs] = descriptors(deputy.peek(at + PAIR_AT, 8));
  let engineEnd = fetchDescriptor(deputy.pid, ours);
  try {
    await deputy.call(Sys.close, ours);
    const child = await clone(parent, wanted.flags, wanted.exitSignal);
    if (typeof child !== "number") return child;
    const stopRequested = whole(child, () => seatChild(tracees, child, deputy, theirs));
    const made = deputy.inherited(child, engineEnd);
    engineEnd = -1;
    made.tell(parent.process.seatsBeside(deputy).flatMap((seat) => seat.remains()));
    return { deputy: made, stopRequested };
  } finally {
    if (engineEnd >= 0) libc.close(engineEnd);
    deputy.call(Sys.close, theirs).catch((e: unknown) => log.debug("a parent ended as it forked", { pid, error: String(e) }));
  }
}

/** What threads of a process share; what a program leaves out of the rest is its own business (clone(2)). */
const THREAD = BigInt(CLONE.VM | CLONE.THREAD | CLONE.SIGHAND);
const KEPT = BigInt(CLONE.FS | CLONE.FILES | CLONE.SYSVSEM) | BigInt(CLONE.IO);

/** Does something for a new child, which ends if that fails. */
function whole<T>(child: number, work: () => T): T {
  try {
    return work();
  } catch (e) {
    libc.kill(child, SIGKILL);
    throw e;
  }
}
const SIGKILL = 9;

/** Starts a thread of a process that is away: a deputy from its first instruction on, at a seat of its own, stopped. @throws as {@link forkDeputy} */
async function startDeputy(tracees: Tracees, starter: HomeThread, flags: bigint): Promise<Forked | Errno> {
  const { process, deputy } = starter;
  const seat = await process.spareSeat(deputy);
  let used = false;
  try {
    const tid = await clone(starter, THREAD | (flags & KEPT), 0);
    if (typeof tid !== "number") return tid;
    firstStop(tracees, tid);
    ptrace.setSigmask(tid, ALL_SIGNALS);
    const regs = new Regs();
    ptrace.getRegs(tid, regs.bytes);
    setToLoop(tid, seat.base, seat.fd, regs);
    used = true;
    return { deputy: deputy.beside(tid, seat), stopRequested: false };
  } finally {
    if (!used) process.takeSeat(seat);
  }
}

/** clone3(2) by a deputy. @returns the new task, which is stopped, or the error that the program gets; @throws TeselaError E_BUSY */
async function clone({ deputy, tid }: HomeThread, flags: bigint, exitSignal: number): Promise<number | Errno> {
  const args = Buffer.alloc(CLONE_ARGS.size);
  args.writeBigUInt64LE(flags, CLONE_ARGS.at.flags);
  args.writeBigUInt64LE(BigInt(exitSignal), CLONE_ARGS.at.exit_signal);
  const at = deputy.scratch + CLONE_AT;
  deputy.poke(at, args);
  const child = await deputy.call(Sys.clone3, at, args.length);
  if (isRestart(child)) throw new TeselaError("E_BUSY", `process ${tid} is being moved`);
  return isErrno(child) ? { errno: Number(-child) } : Number(child);
}

function firstStop(tracees: Tracees, tid: number): void {
  const stop = tracees.wait(tid);
  if (stop.kind !== "event") throw new TeselaError("E_GONE", `task ${tid} ended as it began`);
}

/** Makes a new child, stopped in its clone, listen to its own socket. @returns whether a SIGSTOP came meanwhile */
function seatChild(tracees: Tracees, tid: number, parent: Deputy, socket: number): boolean {
  firstStop(tracees, tid);
  ptrace.setSigmask(tid, ALL_SIGNALS);
  const regs = new Regs();
  ptrace.getRegs(tid, regs.bytes);
  regs.set(Reg.origRax, NO_SYSCALL);
  const { base, fd } = parent.seat;
  const at = base + BigInt(Stub.one);
  const thread = { tid, stopRequested: false };
  injectAt(tracees, thread, at, regs, Sys.dup3, [socket, fd, O_CLOEXEC]);
  injectAt(tracees, thread, at, regs, Sys.close, [socket]);
  regs.set(Reg.rip, base + BigInt(Stub.loop));
  ptrace.setRegs(tid, regs.bytes);
  return thread.stopRequested;
}
