import { statSync } from "node:fs";
import { type Pid, TeselaError } from "../base/mod.ts";
import { proc } from "../sys/mod.ts";

/** Who asks: SO_PEERCRED of a command, or what another node's teselad says of its caller. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  /** The node the request came from; null for a command on this one. */
  readonly via: number | null;
}

interface Owner {
  readonly uids: readonly number[];
  readonly gids: readonly number[];
}

export const ROOT = 0;

/**
 * Root, the owner and the group owner may move a process (as in openMosix). User numbers of other nodes mean nothing here, so
 * a caller from another node has to be root there.
 * @throws TeselaError E_NOENT_PID, E_PERM
 */
export function authorize(caller: Caller, pid: Pid, readOwner: (pid: Pid) => Owner | null = ownerOf): void {
  const owner = readOwner(pid);
  if (owner === null) throw new TeselaError("E_NOENT_PID", `there is no process ${pid} on this node`, { pid });
  if (caller.uid === ROOT) return;
  if (caller.via !== null) {
    throw new TeselaError("E_PERM", `process ${pid} has another home node: only root may move it from here, its owner from there`, { pid });
  }
  if (owner.uids.includes(caller.uid) || owner.gids.includes(caller.gid)) return;
  throw new TeselaError("E_PERM", `process ${pid} belongs to user ${owner.uids[0]}: user ${caller.uid} may not move it`, { pid });
}

/**
 * What a process says to the kernel is its owner's business, and root's: as for ptrace(2), all of its user numbers must be the caller's,
 * and it must not be one that the kernel hides from its user (its files in /proc are then root's).
 * @throws TeselaError E_NOENT_PID also for one that has ended and is still listed, E_PERM
 */
export function authorizeTrace(caller: Caller, pid: Pid): void {
  let owner: number;
  let uids: number[];
  try {
    const status = proc.readStatus(pid);
    if (proc.statusField(status, "State")?.startsWith("Z")) throw new Error("it has ended");
    owner = statSync(`/proc/${pid}/fd`).uid;
    uids = (proc.statusField(status, "Uid") ?? "").split(/\s+/).map(Number);
  } catch (cause) {
    throw new TeselaError("E_NOENT_PID", `there is no process ${pid} on this node`, { pid }, { cause });
  }
  if (caller.uid === ROOT) return;
  if (caller.via === null && owner === caller.uid && uids.every((uid) => uid === caller.uid)) return;
  throw new TeselaError("E_PERM", `process ${pid} is not user ${caller.uid}'s alone: only its owner and root may trace it`, { pid });
}

/** Real and saved ids, as for kill(2); null when there is no such process, or the number is only a thread's. */
export function ownerOf(pid: Pid): Owner | null {
  let status: string;
  try {
    status = proc.readStatus(pid);
  } catch (e) {
    if (["ENOENT", "ESRCH"].includes((e as NodeJS.ErrnoException).code ?? "")) return null;
    throw e;
  }
  if (proc.statusField(status, "Tgid") !== String(pid)) return null;
  const ids = (name: string): number[] => {
    const [real = -1, , saved = -1] = (proc.statusField(status, name) ?? "").split(/\s+/).map(Number);
    return [real, saved];
  };
  return { uids: ids("Uid"), gids: ids("Gid").slice(0, 1) };
}
