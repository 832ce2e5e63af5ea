import type { Socket } from "node:net";
import koffi from "koffi";
import { SysError } from "./error.ts";

const libc = koffi.load("libc.so.6");
const getsockopt = libc.func("int getsockopt(int, int, int, void *, void *)") as (
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
  length: Uint8Array,
) => number;

/** include/uapi/asm-generic/socket.h */
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** struct ucred: pid, uid, gid, each 32 bits. */
const UCRED_SIZE = 12;
/** What the kernel gives for an id that has no name in this user namespace (user_namespaces(7)). */
export const OVERFLOW_ID = 65534;

/** Who called connect(2), as the kernel wrote it down then: unix(7), SO_PEERCRED. */
export interface PeerCredentials {
  /** 0 when the caller is not in a PID namespace that this process sees. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** @throws SysError, EBADF for a socket that is closed already */
export function peerCredentials(socket: Socket): PeerCredentials {
  const fd = descriptorOf(socket);
  const value = Buffer.alloc(UCRED_SIZE);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(UCRED_SIZE);
  if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, length) !== 0) {
    throw new SysError("getsockopt SO_PEERCRED", fd < 0 ? 9 : koffi.errno());
  }
  return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) };
}

/** Node keeps the descriptor in its handle; there is no public name for it. */
function descriptorOf(socket: Socket): number {
  const handle = (socket as unknown as { _handle?: { fd?: number } | null })._handle;
  return handle?.fd ?? -1;
}
