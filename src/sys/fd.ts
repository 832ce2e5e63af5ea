import * as libc from "./libc.unsafe.ts";

/** fcntl(2): the lowest free descriptor, closed on exec. */
const F_DUPFD_CLOEXEC = 1030;

/** Descriptors of this process, shared by all its threads. */
export const descriptors = {
  /** A second descriptor for the same open file. @throws SysError */
  dup(fd: number): number {
    return libc.must("fcntl", libc.fcntl(fd, F_DUPFD_CLOEXEC, 0));
  },
  /** @throws SysError */
  close(fd: number): void {
    libc.must("close", libc.close(fd));
  },
};
