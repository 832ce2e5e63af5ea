import type { HomeProcess } from "./home-process.ts";
import { Sys } from "./numbers.ts";

/** process_vm_readv(2), process_vm_writev(2): they work on the memory of another process, which is not here while that is away. */
const ON_OTHERS: ReadonlySet<number> = new Set([Sys.processVmReadv, Sys.processVmWritev]);
/** The process is the first argument, behind the number. */
const PID_AT = 8;

const EFAULT = -14n;

/**
 * The process that a call was about whose memory is elsewhere; null for any other call, and where the kernel has refused it: nobody brings
 * home whom he may not look at.
 */
export function awayTarget(caller: HomeProcess, nr: number, request: Uint8Array, result: bigint): HomeProcess | null {
  if (!ON_OTHERS.has(nr) || (result < 0n && result !== EFAULT)) return null;
  const tid = Number(Buffer.from(request.buffer, request.byteOffset + PID_AT, 8).readBigInt64LE(0));
  return caller.away(tid);
}
