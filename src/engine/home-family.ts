import { CLONE_ARGS } from "../abi/mod.ts";
import { type Log, TeselaError } from "../base/mod.ts";
import { Stub } from "../image/mod.ts";
import { isErrno, libc, NO_SYSCALL, ptrace, Reg, Regs, type Tracees } from "../sys/mod.ts";
import type { Data } from "../wire/mod.ts";
import { bigintOf, numberOf } from "./asks.ts";
import { type Deputy, fetchDescriptor, injectAt } from "./deputy.ts";
import { ALL_SIGNALS, isRestart } from "./freeze.ts";
import type { HomeProcess } from "./home-process.ts";
import type { HomeSide, Link } from "./links.ts";
import { Sys } from "./numbers.ts";

const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 1 | 0x80000;
const O_CLOEXEC = 0x80000;
/** In the scratch pages, apart from what others lay out there. */
const PAIR_AT = 0x1800n;
const CLONE_AT = 0x1840n;

/** What the questions about families need of a home. */
export interface Families {
  process(ticket: number): HomeProcess | undefined;
  /** Takes a child's deputy in: away from now on, where its parent is, its signals still blocked. */
  adopt(parent: HomeProcess, forked: Forked & { deputy: Deputy }): HomeProcess;
  /** The child's guest runs. */
  born(child: HomeProcess): Promise<void>;
}

type Params = Record<string, Data | undefined>;

/** What a host asks when its guest forks. */
export function familyQuestions(families: Families, tracees: Tracees, log: Log): HomeSide["asks"] {
  const away = (link: Link, p: Params, name: string): HomeProcess => {
    const home = families.process(numberOf(p, name));
    if (home?.phase !== "away" || home.host !== link) throw new TeselaError("E_BUSY", "the process is being moved");
    return home;
  };
  return {
    fork: (link) => async (p) => {
      const parent = away(link, p, "ticket");
      const forked = await forkDeputy(tracees, parent, { flags: bigintOf(p.flags), exitSignal: numberOf(p, "exitSignal") }, log);
      if ("errno" in forked) return { errno: forked.errno };
      const child = families.adopt(parent, forked);
      return { pid: child.pid, ticket: child.ticket };
    },
    born: (link) => async (p) => {
      await families.born(away(link, p, "ticket"));
      return null;
    },
    stillborn: (link) => async (p) => {
      const [parent, child] = [away(link, p, "ticket"), away(link, p, "child")];
      await parent.stillborn.bury(parent.deputy, child.pid);
      return null;
    },
  };
}

/** What becomes of a fork: the child's deputy, not running yet; or the error that the program gets. */
export type Forked = { readonly deputy: Deputy; readonly stopRequested: boolean } | { readonly errno: number };

/**
 * Forks a process that is away: its deputy makes the child, which is a deputy from its first instruction on, at the same
 * addresses and with the same descriptor, and stays stopped with all signals blocked.
 * @throws TeselaError E_BUSY when it met a move
 */
export async function forkDeputy(
  tracees: Tracees,
  parent: HomeProcess,
  wanted: { readonly flags: bigint; readonly exitSignal: number },
  log: Log,
): Promise<Forked> {
  const { deputy, pid } = parent;
  const at = deputy.scratch;
  const paired = await deputy.call(Sys.socketpair, AF_UNIX, SOCK_STREAM_CLOEXEC, 0, at + PAIR_AT);
  if (isErrno(paired)) throw new TeselaError("E_NOMEM", `process ${pid} has no descriptors left for a child's deputy`);
  const pair = deputy.peek(at + PAIR_AT, 8);
  const [ours, theirs] = [pair.readInt32LE(0), pair.readInt32LE(4)];
  let engineEnd = fetchDescriptor(pid, ours);
  try {
    await deputy.call(Sys.close, ours);
    const args = Buffer.alloc(CLONE_ARGS.size);
    args.writeBigUInt64LE(wanted.flags, CLONE_ARGS.at.flags);
    args.writeBigUInt64LE(BigInt(wanted.exitSignal), CLONE_ARGS.at.exit_signal);
    deputy.poke(at + CLONE_AT, args);
    const child = await deputy.call(Sys.clone3, at + CLONE_AT, args.length);
    if (isRestart(child)) throw new TeselaError("E_BUSY", `process ${pid} is being moved`);
    if (isErrno(child)) return { errno: Number(-child) };
    const tid = Number(child);
    const stopRequested = seat(tracees, tid, deputy, theirs);
    const made = deputy.inherited(tid, engineEnd);
    engineEnd = -1;
    return { deputy: made, stopRequested };
  } finally {
    if (engineEnd >= 0) libc.close(engineEnd);
    deputy.call(Sys.close, theirs).catch((e: unknown) => log.debug("a parent ended as it forked", { pid, error: String(e) }));
  }
}

/** Makes a new child, stopped in its clone, listen to its own socket. @returns whether a SIGSTOP came meanwhile */
function seat(tracees: Tracees, tid: number, parent: Deputy, socket: number): boolean {
  const stop = tracees.wait(tid);
  if (stop.kind !== "event") throw new TeselaError("E_GONE", `process ${tid} ended as it began`);
  ptrace.setSigmask(tid, ALL_SIGNALS);
  const regs = new Regs();
  ptrace.getRegs(tid, regs.bytes);
  regs.set(Reg.origRax, NO_SYSCALL);
  const at = parent.base + BigInt(Stub.one);
  const thread = { tid, stopRequested: false };
  injectAt(tracees, thread, at, regs, Sys.dup3, [socket, parent.fd, O_CLOEXEC]);
  injectAt(tracees, thread, at, regs, Sys.close, [socket]);
  regs.set(Reg.rip, parent.base + BigInt(Stub.loop));
  ptrace.setRegs(tid, regs.bytes);
  return thread.stopRequested;
}
