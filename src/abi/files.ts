/** Flags of open(2). */
export const O = {
  RDONLY: 0o0,
  WRONLY: 0o1,
  RDWR: 0o2,
  ACCMODE: 0o3,
  CREAT: 0o100,
  EXCL: 0o200,
  NOCTTY: 0o400,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  NONBLOCK: 0o4000,
  DSYNC: 0o10000,
  ASYNC: 0o20000,
  DIRECT: 0o40000,
  DIRECTORY: 0o200000,
  NOFOLLOW: 0o400000,
  NOATIME: 0o1000000,
  CLOEXEC: 0o2000000,
  RSYNC: 0o4010000,
  SYNC: 0o4010000,
  PATH: 0o10000000,
  TMPFILE: 0o20200000,
} as const;

/** Commands of fcntl(2), and the lock kinds. */
export const F = {
  DUPFD: 0,
  RDLCK: 0,
  GETFD: 1,
  WRLCK: 1,
  SETFD: 2,
  UNLCK: 2,
  GETFL: 3,
  SETFL: 4,
  GETLK: 5,
  SETLK: 6,
  SETLKW: 7,
  SETOWN: 8,
  GETOWN: 9,
  SETSIG: 10,
  GETSIG: 11,
  SETOWN_EX: 15,
  GETOWN_EX: 16,
  GETOWNER_UIDS: 17,
  OFD_GETLK: 36,
  OFD_SETLK: 37,
  OFD_SETLKW: 38,
  SETLEASE: 1024,
  GETLEASE: 1025,
  NOTIFY: 1026,
  DUPFD_QUERY: 1027,
  CREATED_QUERY: 1028,
  CANCELLK: 1029,
  DUPFD_CLOEXEC: 1030,
  SETPIPE_SZ: 1031,
  GETPIPE_SZ: 1032,
  ADD_SEALS: 1033,
  GET_SEALS: 1034,
  GET_RW_HINT: 1035,
  SET_RW_HINT: 1036,
  GET_FILE_RW_HINT: 1037,
  SET_FILE_RW_HINT: 1038,
  GETDELEG: 1039,
  SETDELEG: 1040,
} as const;

/** Flags of the *at calls. */
export const AT = {
  STATX_SYNC_AS_STAT: 0x0,
  HANDLE_MNT_ID_UNIQUE: 0x1,
  SYMLINK_NOFOLLOW: 0x100,
  EACCESS: 0x200,
  REMOVEDIR: 0x200,
  SYMLINK_FOLLOW: 0x400,
  NO_AUTOMOUNT: 0x800,
  EMPTY_PATH: 0x1000,
  STATX_FORCE_SYNC: 0x2000,
  STATX_DONT_SYNC: 0x4000,
  RECURSIVE: 0x8000,
  EXECVE_CHECK: 0x10000,
  FDCWD: -0x64,
} as const;

/** File types and permission bits, inode(7). */
export const S = {
  IXOTH: 0o1,
  IWOTH: 0o2,
  IROTH: 0o4,
  IRWXO: 0o7,
  IXGRP: 0o10,
  IWGRP: 0o20,
  IRGRP: 0o40,
  IRWXG: 0o70,
  IEXEC: 0o100,
  IXUSR: 0o100,
  IWRITE: 0o200,
  IWUSR: 0o200,
  IREAD: 0o400,
  IRUSR: 0o400,
  IRWXU: 0o700,
  ISVTX: 0o1000,
  ISGID: 0o2000,
  ISUID: 0o4000,
  IFIFO: 0o10000,
  IFCHR: 0o20000,
  IFDIR: 0o40000,
  IFBLK: 0o60000,
  IFREG: 0o100000,
  IFLNK: 0o120000,
  IFSOCK: 0o140000,
  IFMT: 0o170000,
} as const;

/** Whence of lseek(2). */
export const SEEK = {
  SET: 0,
  CUR: 1,
  END: 2,
  DATA: 3,
  HOLE: 4,
} as const;

/** Operations of flock(2). */
export const LOCK = {
  SH: 1,
  EX: 2,
  NB: 4,
  UN: 8,
} as const;

/** Flags of preadv2(2). */
export const RWF = {
  HIPRI: 0x1,
  DSYNC: 0x2,
  SYNC: 0x4,
  NOWAIT: 0x8,
  APPEND: 0x10,
  NOAPPEND: 0x20,
  ATOMIC: 0x40,
  DONTCACHE: 0x80,
} as const;

/** Flags of splice(2). */
export const SPLICE = {
  MOVE: 1,
  NONBLOCK: 2,
  MORE: 4,
  GIFT: 8,
} as const;

/** Flags of memfd_create(2). */
export const MFD = {
  CLOEXEC: 0x1,
  ALLOW_SEALING: 0x2,
  HUGETLB: 0x4,
  NOEXEC_SEAL: 0x8,
  EXEC: 0x10,
} as const;

/** Flags of close_range(2). */
export const CLOSE_RANGE = {
  UNSHARE: 2,
  CLOEXEC: 4,
} as const;

/** Flags of renameat2(2). */
export const RENAME = {
  NOREPLACE: 1,
  EXCHANGE: 2,
  WHITEOUT: 4,
} as const;

/** What statx(2) is asked for. */
export const STATX = {
  TYPE: 0x1,
  MODE: 0x2,
  NLINK: 0x4,
  UID: 0x8,
  GID: 0x10,
  ATIME: 0x20,
  MTIME: 0x40,
  CTIME: 0x80,
  INO: 0x100,
  SIZE: 0x200,
  BLOCKS: 0x400,
  BASIC_STATS: 0x7ff,
  BTIME: 0x800,
  ALL: 0xfff,
  MNT_ID: 0x1000,
  DIOALIGN: 0x2000,
} as const;
