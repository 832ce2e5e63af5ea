import { SIGRTMAX, SIGRTMIN } from "./limits.ts";
import { SIG } from "./signals.ts";

/** What a signal does to a process that neither handles nor ignores it, signal(7). */
export type DefaultAction = "term" | "core" | "ignore" | "stop" | "cont";

const CORE = [SIG.QUIT, SIG.ILL, SIG.TRAP, SIG.ABRT, SIG.BUS, SIG.FPE, SIG.SEGV, SIG.XCPU, SIG.XFSZ, SIG.SYS];
const IGNORE = [SIG.CHLD, SIG.URG, SIG.WINCH];
const STOP = [SIG.STOP, SIG.TSTP, SIG.TTIN, SIG.TTOU];

/** Index: signal number, 0 (no signal) to 64. */
export const DEFAULT_ACTIONS: readonly DefaultAction[] = Array.from({ length: SIGRTMAX + 1 }, (_, n): DefaultAction => {
  const among = (list: readonly number[]): boolean => list.includes(n);
  if (n === 0 || among(IGNORE)) return "ignore";
  if (n === SIG.CONT) return "cont";
  if (among(STOP)) return "stop";
  return among(CORE) ? "core" : "term";
});

const NAMES = new Map<number, string>(Object.entries(SIG).map(([name, n]) => [n, `SIG${name}`]));

/** `SIGINT` for 2, `SIGRTMIN+3` for 35 (as the kernel counts); `signal 99` for what is none. */
export function signalName(n: number): string {
  if (n >= SIGRTMIN && n <= SIGRTMAX) return n === SIGRTMIN ? "SIGRTMIN" : `SIGRTMIN+${n - SIGRTMIN}`;
  return NAMES.get(n) ?? `signal ${n}`;
}

/** The bit of a signal in a kernel mask. */
export const signalBit = (n: number): bigint => 1n << BigInt(n - 1);

/** Neither can be caught, blocked or ignored. */
export const UNBLOCKABLE = signalBit(SIG.KILL) | signalBit(SIG.STOP);
