import { getSystemErrorName } from "node:util";

/** A failed system call: which one, and the errno (errno(3)). */
export class SysError extends Error {
  override readonly name = "SysError";
  readonly errno: number;
  readonly code: string;
  readonly call: string;

  constructor(call: string, errno: number) {
    const code = errnoName(errno);
    super(`${call}: ${code}`);
    this.call = call;
    this.errno = errno;
    this.code = code;
  }
}

/** `ENOENT` for 2; `errno 530` for one that libuv has no name for. */
export function errnoName(errno: number): string {
  const name = getSystemErrorName(-errno);
  return name.startsWith("Unknown") ? `errno ${errno}` : name;
}

/** True for the range in which the kernel returns -errno (include/linux/err.h, MAX_ERRNO). */
export const isErrno = (result: bigint): boolean => result < 0n && result >= -4095n;

/** Passes a raw result on, or throws what it stands for. */
export function checked(call: string, result: bigint): bigint {
  if (isErrno(result)) throw new SysError(call, Number(-result));
  return result;
}
