import { readlinkSync } from "node:fs";
import type { Deputy } from "./deputy.ts";
import type { Group } from "./group.ts";
import { Sys } from "./numbers.ts";

/** Descriptors that come to a process from others: by a message (unix(7), SCM_RIGHTS), or taken from them (pidfd_getfd(2)). */

/** struct msghdr. */
const MSG = { control: 32, controlLength: 40, size: 48 } as const;
/** struct cmsghdr, and how its successors are aligned (cmsg(3)). */
const CMSG = { length: 0, level: 8, type: 12, size: 16, align: 8 } as const;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
/** No message brings more (unix(7)), beside its other ancillary data. */
const MAX_CONTROL = 64 << 10;

/** The descriptors that a call of the deputy's has brought. */
function received(deputy: Deputy, nr: number, request: Uint8Array, result: bigint): number[] {
  if (nr === Sys.pidfdGetfd) return [Number(result)];
  if (nr !== Sys.recvmsg) return [];
  const header = deputy.peek(Buffer.from(request.buffer, request.byteOffset, request.length).readBigUInt64LE(16), MSG.size + 8);
  const length = Number(header.readBigUInt64LE(MSG.controlLength));
  if (length < CMSG.size || length > MAX_CONTROL) return [];
  return descriptorsIn(deputy.peek(header.readBigUInt64LE(MSG.control), length));
}

/** @param control ancillary data, as recvmsg(2) has written it */
export function descriptorsIn(control: Buffer): number[] {
  const fds: number[] = [];
  for (let at = 0; at + CMSG.size <= control.length; ) {
    const length = Number(control.readBigUInt64LE(at + CMSG.length));
    if (length < CMSG.size) break;
    if (control.readInt32LE(at + CMSG.level) === SOL_SOCKET && control.readInt32LE(at + CMSG.type) === SCM_RIGHTS) {
      const end = Math.min(at + length, control.length);
      for (let fd = at + CMSG.size; fd + 4 <= end; fd += 4) fds.push(control.readInt32LE(fd));
    }
    at += (length + CMSG.align - 1) & ~(CMSG.align - 1);
  }
  return fds;
}

/** Whether a call has brought a descriptor that reads signals (signalfd(2)), whose reader they are is for its kernel to see. */
export function bringsSignalfd(deputy: Deputy, nr: number, request: Uint8Array, result: bigint): boolean {
  return result >= 0n && received(deputy, nr, request, result).some((fd) => isSignalfd(deputy.pid, fd));
}

/** Whether a call has brought a descriptor on what a group shares, which is not here. */
export function bringsShared(group: Group, deputy: Deputy, nr: number, request: Uint8Array, result: bigint): boolean {
  return result >= 0n && received(deputy, nr, request, result).some((fd) => group.isOpenedBy(deputy.pid, BigInt(fd)));
}

const isSignalfd = (pid: number, fd: number): boolean => {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`) === SIGNALFD;
  } catch {
    // It is closed again, or the process has ended.
    return false;
  }
};
export const SIGNALFD = "anon_inode:[signalfd]";
