import { CLONE, SYSCALLS } from "../abi/mod.ts";
import type { Plan } from "../forward/mod.ts";
import { proc } from "../sys/mod.ts";
import { cloneRequest, has } from "./clone-request.ts";
import type { Guest } from "./guest.ts";
import { Sys } from "./numbers.ts";
import { MOVES_MAPPINGS } from "./own-pages.ts";

/** Calls of a guest that shares memory which home alone can make, with all of the group back there. */

const HOME: Plan = { kind: "back", reason: "shared_memory" };

/** Which arguments of a call are descriptors. */
const DESCRIPTORS: ReadonlyMap<number, readonly number[]> = new Map(
  SYSCALLS.map(({ nr, args }) => [nr, args.flatMap((a, i) => (a.kind === "fd" || a.kind === "dirfd" ? [i] : []))]),
);

/** @returns null for a call like any other's */
export function ofShared({ process, tid, memory: mem }: Guest, nr: number, args: readonly bigint[]): Plan | null {
  const { memory, guard } = process.options;
  if (!memory) return null;
  if (nr === Sys.shmdt) return { kind: "back", reason: "sysv_shm" };
  if (MOVES_MAPPINGS.has(nr)) {
    const [start = 0n, length = 0n] = args;
    const touched = proc.readMaps(tid).some((l) => l.start < start + (length || 1n) && start < l.end && memory.shownBy(l) !== null);
    return touched ? HOME : null;
  }
  if (guard.fds.length === 0) return null;
  const uses = nr !== Sys.close && (DESCRIPTORS.get(nr) ?? []).some((i) => guard.fds.includes(Number(BigInt.asIntN(32, args[i] ?? 0n))));
  return uses || isVfork(nr, args, mem) || PASSES[nr]?.(args, mem, guard.kept) ? HOME : null;
}

/** While a child has its parent's memory neither can be brought home: what the child does with the descriptors could not be done. */
function isVfork(nr: number, args: readonly bigint[], mem: Guest["memory"]): boolean {
  if (!CLONES.has(nr)) return false;
  const wanted = cloneRequest(nr, args, mem);
  return wanted !== null && has(wanted.flags, CLONE.VFORK);
}
const CLONES: ReadonlySet<number> = new Set([Sys.vfork, Sys.clone, Sys.clone3]);

type Passes = (args: readonly bigint[], mem: Guest["memory"], kept: boolean) => boolean;
const atExec: Passes = (_args, _mem, kept) => kept;

/** Calls by which descriptors get elsewhere. */
const PASSES: Readonly<Record<number, Passes>> = {
  [Sys.sendmsg]: ([, msg = 0n], mem) => hasControl(mem, msg),
  [Sys.sendmmsg]: ([, list = 0n, count = 0n], mem) =>
    Array.from({ length: Math.min(Number(BigInt.asUintN(32, count)), UIO_MAXIOV) }).some((_, i) =>
      hasControl(mem, list + BigInt(i * MMSGHDR)),
    ),
  [Sys.pidfdGetfd]: () => true,
  [Sys.execve]: atExec,
  [Sys.execveat]: atExec,
};
const UIO_MAXIOV = 1024;

/** struct msghdr (recvmsg(2)). */
const MSGHDR = 56;
const MMSGHDR = 64;
const CONTROLLEN = 40;
function hasControl(mem: Guest["memory"], at: bigint): boolean {
  const head = mem.readUpTo(at, MSGHDR);
  return head.length === MSGHDR && head.readBigUInt64LE(CONTROLLEN) > 0n;
}
