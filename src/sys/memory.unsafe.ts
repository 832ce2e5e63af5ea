import { NR } from "../abi/mod.ts";
import { SysError } from "./error.ts";
import { addressOf, close, processVmReadv, processVmWritev, settled, syscall } from "./libc.unsafe.ts";

/** Another process's memory, by process_vm_readv(2) and process_vm_writev(2). */

/** UIO_MAXIOV, include/uapi/linux/uio.h. */
export const MAX_IOV = 1024;
const EFAULT = 14;

export interface RemoteRange {
  readonly addr: bigint;
  readonly length: number;
}

const localIov = new BigUint64Array(2);
const localIovBytes = new Uint8Array(localIov.buffer);
const remoteIov = new BigUint64Array(2 * MAX_IOV);
const remoteIovBytes = new Uint8Array(remoteIov.buffer);

/** What {@link localIov} tells the address of: it must live through the call. */
const held: Uint8Array[] = [];

function fill(local: Uint8Array, ranges: readonly RemoteRange[]): void {
  held[0] = local;
  localIov[0] = addressOf(local);
  localIov[1] = BigInt(local.length);
  for (let i = 0; i < ranges.length; i++) {
    const r = ranges[i] as RemoteRange;
    remoteIov[2 * i] = r.addr;
    remoteIov[2 * i + 1] = BigInt(r.length);
  }
}

/** Bytes moved, or -errno. */
function read(pid: number, ranges: number): number {
  const n = processVmReadv(pid, localIovBytes, 1, remoteIovBytes, ranges, 0);
  return n >= 0 ? Number(n) : settled(() => processVmReadv(pid, localIovBytes, 1, remoteIovBytes, ranges, 0));
}
function write(pid: number, ranges: number): number {
  const n = processVmWritev(pid, localIovBytes, 1, remoteIovBytes, ranges, 0);
  return n >= 0 ? Number(n) : settled(() => processVmWritev(pid, localIovBytes, 1, remoteIovBytes, ranges, 0));
}
function whole(call: string, n: number): number {
  if (n < 0) throw new SysError(call, -n);
  return n;
}

/** Reads at most `into.length` bytes; returns how many were readable before the first fault. @throws SysError other than EFAULT */
export function readUpTo(pid: number, addr: bigint, into: Uint8Array): number {
  if (into.length === 0) return 0;
  fill(into, [{ addr, length: into.length }]);
  const n = read(pid, 1);
  return n === -EFAULT ? 0 : whole("process_vm_readv", n);
}

/** Writes at most all of `bytes`; returns how many were writable before the first fault. @throws SysError other than EFAULT */
export function writeUpTo(pid: number, addr: bigint, bytes: Uint8Array): number {
  if (bytes.length === 0) return 0;
  fill(bytes, [{ addr, length: bytes.length }]);
  const n = write(pid, 1);
  return n === -EFAULT ? 0 : whole("process_vm_writev", n);
}

/** Gathers ranges (at most MAX_IOV, together exactly `into.length` bytes) into one buffer; returns bytes read. @throws SysError */
export function gather(pid: number, ranges: readonly RemoteRange[], into: Uint8Array): number {
  fill(into, ranges);
  return whole("process_vm_readv", read(pid, ranges.length));
}

/** Scatters one buffer over ranges (at most MAX_IOV, together exactly `from.length` bytes); returns bytes written. @throws SysError */
export function scatter(pid: number, ranges: readonly RemoteRange[], from: Uint8Array): number {
  fill(from, ranges);
  return whole("process_vm_writev", write(pid, ranges.length));
}

/** A pidfd (pidfd_open(2)), for {@link collapse}. @throws SysError */
export const openPid = (pid: number): number => syscall("pidfd_open", NR.pidfd_open, pid);
export const closePid = (pidfd: number): number => close(pidfd);

/** madvise(2), Linux 6.1. */
const MADV_COLLAPSE = 25;

/**
 * Makes huge pages of the pages in a range of another process, holes included. Needs CAP_SYS_NICE.
 * @throws SysError EPERM; EINVAL when nothing can be made there; EAGAIN or ENOMEM when there are none
 */
export function collapse(pidfd: number, addr: bigint, length: bigint): void {
  remoteIov[0] = addr;
  remoteIov[1] = length;
  syscall("process_madvise", NR.process_madvise, pidfd, addressOf(remoteIovBytes), 1, MADV_COLLAPSE, 0);
}
