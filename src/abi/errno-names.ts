import { ERRNO } from "./errno.ts";

/**
 * What a system call returns inside the kernel when a signal came, before it is turned into a restart or EINTR
 * (include/linux/errno.h). A tracer sees these at a signal stop; a program never does.
 */
export const ERESTART = {
  /** Restart if the handler has SA_RESTART, or if there is none. */
  ERESTARTSYS: 512,
  /** Always restart. */
  ERESTARTNOINTR: 513,
  /** Restart only if no handler runs. */
  ERESTARTNOHAND: 514,
  /** Go on by restart_syscall(2). */
  ERESTART_RESTARTBLOCK: 516,
} as const;

/** The largest error number: results from -4095 to -1 are errors. */
export const MAX_ERRNO = 4095;

/** Second names of one number. */
const ALIASES: readonly string[] = ["EWOULDBLOCK", "EDEADLOCK", "ENOTSUP"];
const NAMES = new Map<number, string>();
for (const [name, n] of [...Object.entries(ERRNO), ...Object.entries(ERESTART)]) if (!ALIASES.includes(name)) NAMES.set(n, name);

/** `EINTR` for 4; `errno 999` for what has no name. */
export const errnoName = (n: number): string => NAMES.get(n) ?? `errno ${n}`;

/** Whether a result means "interrupted by a signal, not finished". */
export const isRestart = (result: bigint): boolean => result === -512n || result === -513n || result === -514n || result === -516n;
