import { CLONE, CLONE_ARGS, CLONE_ARGS_SIZE } from "../abi/mod.ts";
import type { GuestMemory } from "../forward/mod.ts";
import { Sys } from "./numbers.ts";

/** What a program asks for with fork(2), vfork(2), clone(2) or clone3(2). */
export interface CloneRequest {
  /** CLONE_*, without the exit signal. */
  readonly flags: bigint;
  readonly exitSignal: number;
  /** Where the child's stack ends; 0 for the parent's. */
  readonly stackTop: bigint;
  readonly parentTid: bigint;
  readonly childTid: bigint;
  readonly tls: bigint;
}

const SIGCHLD = 17;
const CSIGNAL = 0xffn;
const NONE = { stackTop: 0n, parentTid: 0n, childTid: 0n, tls: 0n } as const;

/** Of a new process with memory of its own, or one that has its parent's until it becomes a program while the parent waits. */
const FLAGS_AWAY = [
  CLONE.VM,
  CLONE.VFORK,
  CLONE.SETTLS,
  CLONE.PARENT_SETTID,
  CLONE.CHILD_SETTID,
  CLONE.CHILD_CLEARTID,
  CLONE.DETACHED,
  CLONE.CLEAR_SIGHAND,
].reduce((all, flag) => all | BigInt(flag), 0n);

export const has = (flags: bigint, flag: number): boolean => (flags & BigInt(flag)) !== 0n;

/** Reads the request of a call. Null when it cannot be read, or says more than this knows: then the kernel at home shall judge. */
export function cloneRequest(nr: number, args: readonly bigint[], mem: GuestMemory): CloneRequest | null {
  switch (nr) {
    case Sys.fork:
      return { ...NONE, flags: 0n, exitSignal: SIGCHLD };
    case Sys.vfork:
      return { ...NONE, flags: BigInt(CLONE.VM | CLONE.VFORK), exitSignal: SIGCHLD };
    case Sys.clone: {
      const [word = 0n, stackTop = 0n, parentTid = 0n, childTid = 0n, tls = 0n] = args;
      const flags = BigInt.asUintN(32, word);
      return { flags: flags & ~CSIGNAL, exitSignal: Number(flags & CSIGNAL), stackTop, parentTid, childTid, tls };
    }
    default:
      return clone3Request(args, mem);
  }
}

function clone3Request([at = 0n, size = 0n]: readonly bigint[], mem: GuestMemory): CloneRequest | null {
  if (size < BigInt(CLONE_ARGS_SIZE.VER0) || size > BigInt(CLONE_ARGS_SIZE.VER2)) return null;
  const bytes = mem.readUpTo(at, Number(size));
  if (bytes.length < Number(size)) return null;
  const field = (name: keyof typeof CLONE_ARGS.at): bigint => {
    const offset = CLONE_ARGS.at[name];
    return offset < bytes.length ? bytes.readBigUInt64LE(offset) : 0n;
  };
  if (field("set_tid_size") !== 0n) return null;
  const stack = field("stack");
  return {
    flags: field("flags"),
    exitSignal: Number(field("exit_signal")),
    stackTop: stack === 0n ? 0n : stack + field("stack_size"),
    parentTid: field("parent_tid"),
    childTid: field("child_tid"),
    tls: field("tls"),
  };
}

/** Of a thread: it shares what threads share in Linux, and has its files in common with the others. */
const THREAD = [CLONE.VM, CLONE.SIGHAND, CLONE.THREAD, CLONE.FS, CLONE.FILES].reduce((all, flag) => all | BigInt(flag), 0n);
const THREAD_FLAGS =
  THREAD |
  [CLONE.SYSVSEM, CLONE.SETTLS, CLONE.PARENT_SETTID, CLONE.CHILD_SETTID, CLONE.CHILD_CLEARTID, CLONE.DETACHED, CLONE.IO].reduce(
    (all, flag) => all | BigInt(flag),
    0n,
  );

/** Whether a thread so made can begin away from home. */
export function canStartAway({ flags, exitSignal }: CloneRequest): boolean {
  return (flags & THREAD) === THREAD && (flags & ~THREAD_FLAGS) === 0n && exitSignal === 0;
}

/** Whether a child so made can begin its life away from home. */
export function canBeBornAway({ flags, exitSignal }: CloneRequest): boolean {
  if ((flags & ~FLAGS_AWAY) !== 0n || exitSignal > 64) return false;
  // Two that go on side by side in one memory are threads in all but name.
  return !has(flags, CLONE.VM) || has(flags, CLONE.VFORK);
}
