/** Bytes of a path, its final NUL included (include/uapi/linux/limits.h). */
export const PATH_MAX = 4096;
/** The most that one read or write moves: INT_MAX rounded down to a page (include/linux/fs.h). */
export const MAX_RW_COUNT = 0x7ffff000;
/** Elements of an iovec array (include/uapi/linux/uio.h). */
export const UIO_MAXIOV = 1024;
/** Bytes of an extended attribute's value, and of a list of names (include/uapi/linux/limits.h). */
export const XATTR_SIZE_MAX = 65536;
/** The first address that is not user space with 4-level page tables (arch/x86/include/asm/page_64_types.h). */
export const TASK_SIZE = 0x7ffffffff000n;
/** The first signal that is real-time to the kernel; the C library keeps 32 and 33 for itself. */
export const SIGRTMIN = 32;
/** The last signal. */
export const SIGRTMAX = 64;
/** The most groups of setgroups(2). */
export const NGROUPS_MAX = 65536;
