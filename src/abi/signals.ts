/** Signal numbers, signal(7). Real-time signals run from 32 (`RTMIN` as the kernel counts) to 64. */
export const SIG = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  TRAP: 5,
  ABRT: 6,
  BUS: 7,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
  STKFLT: 16,
  CHLD: 17,
  CONT: 18,
  STOP: 19,
  TSTP: 20,
  TTIN: 21,
  TTOU: 22,
  URG: 23,
  XCPU: 24,
  XFSZ: 25,
  VTALRM: 26,
  PROF: 27,
  WINCH: 28,
  IO: 29,
  PWR: 30,
  SYS: 31,
} as const;

/** Flags of sigaction(2). */
export const SA = {
  NOCLDSTOP: 0x1,
  NOCLDWAIT: 0x2,
  SIGINFO: 0x4,
  UNSUPPORTED: 0x400,
  EXPOSE_TAGBITS: 0x800,
  RESTORER: 0x4000000,
  ONSTACK: 0x8000000,
  RESTART: 0x10000000,
  NODEFER: 0x40000000,
  RESETHAND: 0x80000000,
} as const;

/** Flags of sigaltstack(2). */
export const SS = {
  ONSTACK: 0x1,
  DISABLE: 0x2,
  AUTODISARM: 0x80000000,
} as const;

/** How of sigprocmask(2). */
export const SIGHOW = {
  BLOCK: 0,
  UNBLOCK: 1,
  SETMASK: 2,
} as const;

/** `si_code` of signals that a program or a kernel service sent. */
export const SI = {
  USER: 0,
  KERNEL: 128,
  ASYNCIO: -4,
  DETHREAD: -7,
  MESGQ: -3,
  QUEUE: -1,
  SIGIO: -5,
  TIMER: -2,
  TKILL: -6,
} as const;

/** `si_code` of SIGCHLD. */
export const CLD = {
  EXITED: 1,
  KILLED: 2,
  DUMPED: 3,
  TRAPPED: 4,
  STOPPED: 5,
  CONTINUED: 6,
} as const;

/** `si_code` of SIGSEGV. */
export const SEGV = {
  MAPERR: 1,
  ACCERR: 2,
  BNDERR: 3,
  PKUERR: 4,
  ACCADI: 5,
  ADIDERR: 6,
  ADIPERR: 7,
  MTEAERR: 8,
  MTESERR: 9,
} as const;

/** How a timer or message queue notifies, sigevent(7). */
export const SIGEV = {
  SIGNAL: 0,
  NONE: 1,
  THREAD: 2,
  THREAD_ID: 4,
} as const;
