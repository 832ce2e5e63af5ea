import koffi from "koffi";
import { SysError } from "./error.ts";

const libc = koffi.load("libc.so.6");
const recv = libc.func("long recv(int, void *, size_t, int)") as (fd: number, into: Uint8Array, size: number, flags: number) => number;

/** recv(2) */
const MSG_PEEK = 0x02;
const MSG_DONTWAIT = 0x40;
const EINTR = 4;
const EAGAIN = 11;

/**
 * Looks at what a socket has received, leaving it there for the next reader: number of bytes put into `into`, 0 when the peer has ended,
 * null when nothing is there yet.
 * @throws SysError
 */
export function peek(fd: number, into: Uint8Array): number | null {
  const n = Number(recv(fd, into, into.length, MSG_PEEK | MSG_DONTWAIT));
  if (n >= 0) return n;
  const errno = koffi.errno();
  if (errno === EAGAIN || errno === EINTR) return null;
  throw new SysError("recv", errno);
}
