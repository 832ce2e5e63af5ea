// tidy: table
/** Names for the values of arguments, for whoever prints a call: by call and argument. What is not here is printed as a number. */
import { AT, F, LOCK, MFD, O, RENAME, SEEK, SPLICE, STATX } from "./files.ts";
import { ioctlRow } from "./ioctls.ts";
import { MADV, MAP, PROT } from "./memory.ts";
import { EPOLL_CTL } from "./poll.ts";
import { CLONE, P, PRIO, RLIMIT, RUSAGE, SCHED, W } from "./process.ts";
import { signalName } from "./signal-actions.ts";
import { SIGHOW } from "./signals.ts";
import { AF, MSG, SOCK, SOL } from "./sockets.ts";
import { CLOCK, ITIMER } from "./time.ts";

/** The text for an argument's low 32 bits, or null: a number it is. */
export type Namer = (value: number) => string | null;
type Values = Readonly<Record<string, number>>;

/** One of these. */
const one =
  (prefix: string, values: Values): Namer =>
  (value) => {
    const name = Object.entries(values).find(([, v]) => v === value)?.[0];
    return name === undefined ? null : prefix + name;
  };

const bits = (v: number): number => v.toString(2).replaceAll("0", "").length;

/** Any of these together; `mask` holds one value of those that lie within it. */
const flags = (prefix: string, values: Values, mask = 0): Namer => {
  // Names of several bits before those of their parts.
  const order = Object.entries(values)
    .filter(([, v]) => v > 0 && (v & mask) === 0)
    .sort(([, a], [, b]) => bits(b) - bits(a));
  const low = Object.entries(values).filter(([, v]) => (v & ~mask) === 0);
  return (value) => {
    const parts: string[] = [];
    const first = low.find(([, v]) => v === (value & mask))?.[0];
    let left = value & ~mask;
    if (first !== undefined && (mask !== 0 || value === 0)) parts.push(prefix + first);
    for (const [name, v] of order) {
      if ((left & v) !== v) continue;
      parts.push(prefix + name);
      left &= ~v;
    }
    if (left !== 0) parts.push(`0x${(left >>> 0).toString(16)}`);
    return parts.length === 0 ? "0" : parts.join("|");
  };
};

const octal: Namer = (value) => `0${(value >>> 0).toString(8)}`;
const signal: Namer = (value) => (value > 0 && value <= 64 ? signalName(value) : null);
const request: Namer = (value) => ioctlRow(value >>> 0)?.name ?? `0x${(value >>> 0).toString(16)}`;

const open = flags("O_", O, O.ACCMODE);
const at = flags("AT_", { ...AT, FDCWD: 0 });
const remove = flags("AT_", { REMOVEDIR: AT.REMOVEDIR });
const clock = one("CLOCK_", CLOCK);
const message = flags("MSG_", MSG);
const limit = one("RLIMIT_", RLIMIT);
const TYPE_MASK = 0xf;
const socketType = flags("SOCK_", SOCK, TYPE_MASK);
const waits = flags("W", W);
const scheduler = one("SCHED_", { OTHER: 0, FIFO: SCHED.FIFO, RR: SCHED.RR, BATCH: 3, IDLE: 5, DEADLINE: SCHED.DEADLINE });

export const SYMBOLS: Readonly<Record<string, Readonly<Record<number, Namer>>>> = {
  open: { 1: open, 2: octal },
  openat: { 2: open, 3: octal },
  creat: { 1: octal },
  access: { 1: octal },
  faccessat: { 2: octal },
  faccessat2: { 2: octal, 3: at },
  mkdir: { 1: octal },
  mkdirat: { 2: octal },
  mknod: { 1: octal },
  mknodat: { 2: octal },
  chmod: { 1: octal },
  fchmod: { 1: octal },
  fchmodat: { 2: octal },
  fchmodat2: { 2: octal, 3: at },
  umask: { 0: octal },
  fchownat: { 4: at },
  newfstatat: { 3: at },
  statx: { 2: at, 3: flags("STATX_", STATX) },
  linkat: { 4: at },
  unlinkat: { 2: remove },
  utimensat: { 3: at },
  renameat2: { 4: flags("RENAME_", RENAME) },
  lseek: { 2: one("SEEK_", SEEK) },
  fcntl: { 1: one("F_", F) },
  flock: { 1: flags("LOCK_", LOCK) },
  ioctl: { 1: request },
  pipe2: { 1: flags("O_", { CLOEXEC: O.CLOEXEC, NONBLOCK: O.NONBLOCK, DIRECT: O.DIRECT }) },
  dup3: { 2: flags("O_", { CLOEXEC: O.CLOEXEC }) },
  splice: { 5: flags("SPLICE_F_", SPLICE) },
  tee: { 3: flags("SPLICE_F_", SPLICE) },
  memfd_create: { 1: flags("MFD_", MFD) },
  mmap: { 2: flags("PROT_", PROT), 3: flags("MAP_", MAP, MAP.TYPE) },
  madvise: { 2: one("MADV_", MADV) },
  socket: { 0: one("AF_", AF), 1: socketType },
  socketpair: { 0: one("AF_", AF), 1: socketType },
  accept4: { 3: flags("SOCK_", { CLOEXEC: SOCK.CLOEXEC, NONBLOCK: SOCK.NONBLOCK }) },
  setsockopt: { 1: one("SOL_", SOL) },
  getsockopt: { 1: one("SOL_", SOL) },
  sendto: { 3: message },
  recvfrom: { 3: message },
  sendmsg: { 2: message },
  recvmsg: { 2: message },
  sendmmsg: { 3: message },
  recvmmsg: { 3: message },
  epoll_ctl: { 1: one("EPOLL_CTL_", EPOLL_CTL) },
  clock_gettime: { 0: clock },
  clock_getres: { 0: clock },
  clock_settime: { 0: clock },
  clock_nanosleep: { 0: clock },
  timer_create: { 0: clock },
  timerfd_create: { 0: clock },
  setitimer: { 0: one("ITIMER_", ITIMER) },
  getitimer: { 0: one("ITIMER_", ITIMER) },
  kill: { 1: signal },
  tkill: { 1: signal },
  tgkill: { 2: signal },
  rt_sigaction: { 0: signal },
  rt_sigqueueinfo: { 1: signal },
  rt_tgsigqueueinfo: { 2: signal },
  pidfd_send_signal: { 1: signal },
  rt_sigprocmask: { 0: one("SIG_", SIGHOW) },
  wait4: { 2: waits },
  waitid: { 0: one("P_", P), 3: waits },
  getrlimit: { 0: limit },
  setrlimit: { 0: limit },
  prlimit64: { 1: limit },
  getrusage: { 0: one("RUSAGE_", RUSAGE) },
  getpriority: { 0: one("PRIO_", PRIO) },
  setpriority: { 0: one("PRIO_", PRIO) },
  sched_setscheduler: { 1: scheduler },
  unshare: { 0: flags("CLONE_", CLONE) },
  setns: { 1: flags("CLONE_", CLONE) },
};
