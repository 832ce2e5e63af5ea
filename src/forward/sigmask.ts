import { ERRNO, SIGMASK_ARG, SIGSET_SIZE } from "../abi/mod.ts";
import { EFAULT_RESULT, tryRead } from "./forward.ts";
import type { GuestMemory } from "./types.ts";

/** The mask to wait with: its address and value, nothing, or the error of a bad one. */
export type Mask = { readonly address: bigint; readonly value: bigint } | { readonly error: bigint } | null;

export function readMask(mem: GuestMemory, address: bigint, size: bigint): Mask {
  if (address === 0n) return null;
  if (size !== BigInt(SIGSET_SIZE)) return { error: BigInt(-ERRNO.EINVAL) };
  const bytes = tryRead(mem, address, SIGSET_SIZE);
  return bytes === null ? { error: EFAULT_RESULT } : { address, value: bytes.readBigUInt64LE(0) };
}

/** pselect6 passes the mask's address and size by reference. */
export function readMaskArg(mem: GuestMemory, pack: bigint): Mask {
  if (pack === 0n) return null;
  const bytes = tryRead(mem, pack, SIGMASK_ARG.size);
  if (bytes === null) return { error: EFAULT_RESULT };
  return readMask(mem, bytes.readBigUInt64LE(SIGMASK_ARG.at.ss), bytes.readBigUInt64LE(SIGMASK_ARG.at.ss_len));
}
