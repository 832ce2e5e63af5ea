import { NR } from "../abi/mod.ts";
import { addressOf, close, errno, failed, processVmReadv, processVmWritev, syscall } from "./libc.unsafe.ts";

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

function fill(local: Uint8Array, ranges: readonly RemoteRange[]): void {
  localIov[0] = addressOf(local);
  localIov[1] = BigInt(local.length);
  for (let i = 0; i < ranges.length; i++) {
    const r = ranges[i] as RemoteRange;
    remoteIov[2 * i] = r.addr;
    remoteIov[2 * i + 1] = BigInt(r.length);
  }
}

/** Reads at most `into.length` bytes; returns how many were readable before the first fault. @throws SysError other than EFAULT */
export function readUpTo(pid: number, addr: bigint, into: Uint8Array): number {
  if (into.length === 0) return 0;
  fill(into, [{ addr, length: into.length }]);
  const n = processVmReadv(pid, localIovBytes, 1, remoteIovBytes, 1, 0);
  if (n >= 0) return Number(n);
  if (errno() === EFAULT) return 0;
  throw failed("process_vm_readv");
}

/** Writes at most all of `bytes`; returns how many were writable before the first fault. @throws SysError other than EFAULT */
export function writeUpTo(pid: number, addr: bigint, bytes: Uint8Array): number {
  if (bytes.length === 0) return 0;
  fill(bytes, [{ addr, length: bytes.length }]);
  const n = processVmWritev(pid, localIovBytes, 1, remoteIovBytes, 1, 0);
  if (n >= 0) return Number(n);
  if (errno() === EFAULT) return 0;
  throw failed("process_vm_writev");
}

/** Gathers ranges (at most MAX_IOV, together exactly `into.length` bytes) into one buffer; returns bytes read. @throws SysError */
export function gather(pid: number, ranges: readonly RemoteRange[], into: Uint8Array): number {
  fill(into, ranges);
  const n = processVmReadv(pid, localIovBytes, 1, remoteIovBytes, ranges.length, 0);
  if (n < 0) throw failed("process_vm_readv");
  return Number(n);
}

/** Scatters one buffer over ranges (at most MAX_IOV, together exactly `from.length` bytes); returns bytes written. @throws SysError */
export function scatter(pid: number, ranges: readonly RemoteRange[], from: Uint8Array): number {
  fill(from, ranges);
  const n = processVmWritev(pid, localIovBytes, 1, remoteIovBytes, ranges.length, 0);
  if (n < 0) throw failed("process_vm_writev");
  return Number(n);
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
