import { type Condition, SYSCALLS } from "../abi/mod.ts";
import type { Image } from "../image/mod.ts";
import { Sys } from "./numbers.ts";
import { BEHIND_DEPUTIES, MAP_THERE, MAPPING_CALLS, MOVES_MAPPINGS, MREMAP_FIXED, NEAR_DEPUTIES, OWN_PAGES_END } from "./own-pages.ts";

/**
 * The seccomp filter of a guest (seccomp(2), struct seccomp_data): calls that the table lets pass natively, since they only
 * touch memory, time and the thread itself, run where they are made, unless they touch the engine's own pages; every other call stops
 * the guest for its engine.
 */
interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

const LOAD = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JEQ = 0x15;
const JGE = 0x35;
const AND = 0x54;
const ADD_X = 0x0c; // BPF_ALU | BPF_ADD | BPF_X
const TO_X = 0x07; // BPF_MISC | BPF_TAX
const RET = 0x06;
const SECCOMP_RET_TRACE = 0x7ff00000;
/** What PTRACE_GETEVENTMSG says of a call by another table than this architecture's: its number means something else. */
export const FOREIGN_CALL = 1;
const SECCOMP_RET_ALLOW = 0x7fff0000;
const AUDIT_ARCH_X86_64 = 0xc000003e;
const X32_BIT = 0x40000000;
const DATA_NR = 0;
const DATA_ARCH = 4;
/** Offset of the low half of an argument; no condition of the table looks at the high one. */
const argLow = (i: number): number => 16 + 8 * i;
const argHigh = (i: number): number => argLow(i) + 4;

const load = (k: number): Instruction => ({ code: LOAD, jt: 0, jf: 0, k });
const ret = (k: number): Instruction => ({ code: RET, jt: 0, jf: 0, k });

/** Allows when all conditions hold; falls through to what comes next otherwise. */
function allowIfAll(conditions: readonly Condition[]): Instruction[] {
  const out: Instruction[] = [];
  conditions.forEach((c, i) => {
    // Behind this one: three instructions a condition, then the allowing one.
    const rest = 3 * (conditions.length - 1 - i) + 1;
    out.push(load(argLow(c.arg)), { code: AND, jt: 0, jf: 0, k: c.mask }, { code: JEQ, jt: 0, jf: rest, k: c.equals });
  });
  return [...out, ret(SECCOMP_RET_ALLOW)];
}

const stop = ret(SECCOMP_RET_TRACE);

/** Stops when an argument is an address of our own pages; `zero`: what is done, in place of that, for address 0. */
function stopIfLow(arg: number, zero: readonly Instruction[] = [stop]): Instruction[] {
  return [
    load(argHigh(arg)),
    { code: JEQ, jt: 0, jf: 4 + zero.length, k: 0 },
    load(argLow(arg)),
    { code: JGE, jt: 2 + zero.length, jf: 0, k: Number(OWN_PAGES_END) },
    { code: JEQ, jt: 1, jf: 0, k: 0 },
    stop,
    ...zero,
  ];
}

/** Stops when an argument is an address that with its length may reach those of deputies at home. */
const stopIfNearDeputies = (arg: number, length: number): Instruction[] => [
  load(argHigh(arg)),
  { code: JGE, jt: 5, jf: 0, k: BEHIND_DEPUTIES },
  { code: TO_X, jt: 0, jf: 0, k: 0 },
  load(argHigh(length)),
  { code: ADD_X, jt: 0, jf: 0, k: 0 },
  { code: JGE, jt: 0, jf: 1, k: NEAR_DEPUTIES },
  stop,
];

/** Stops, or skips `body`, by whether one of these bits is set in an argument. */
const ifAny = (arg: number, mask: number, body: readonly Instruction[]): Instruction[] => [
  load(argLow(arg)),
  { code: AND, jt: 0, jf: 0, k: mask },
  { code: JEQ, jt: body.length, jf: 0, k: 0 },
  ...body,
];

/** In front of what the table says: see {@link touchesOwnPages}. */
function guardOwnPages(nr: number): Instruction[] {
  if (!MAPPING_CALLS.has(nr)) return [];
  const here = [...stopIfLow(0), ...stopIfNearDeputies(0, 1)];
  if (nr === Sys.mmap) return [...stopIfLow(0, ifAny(3, MAP_THERE, [stop])), ...stopIfNearDeputies(0, 1)];
  if (nr !== Sys.mremap) return here;
  return [...here, ...stopIfNearDeputies(0, 2), ...ifAny(3, MREMAP_FIXED, [...stopIfLow(4), ...stopIfNearDeputies(4, 2)])];
}

/** Calls that bear on a thread's signal mask or on what waits behind it: home is told of them where that is home's affair. */
const ON_SIGNALS: ReadonlySet<number> = new Set([
  Sys.rtSigprocmask,
  Sys.rtSigreturn,
  Sys.rtSigpending,
  Sys.rtSigtimedwait,
  Sys.rtSigsuspend,
]);

/** What a guest's filter depends on. */
interface Guarded {
  /** It shares memory: where that is mapped, it may not move unseen. */
  readonly shares: boolean;
  /** See {@link Image.signalsAtHome}. */
  readonly signalsAtHome: boolean;
}

/** The program for seccomp(2): struct sock_filter, 8 bytes each. */
export function guestFilter({ shares, signalsAtHome }: Guarded): Buffer {
  const program: Instruction[] = [
    load(DATA_ARCH),
    { code: JEQ, jt: 1, jf: 0, k: AUDIT_ARCH_X86_64 },
    ret(SECCOMP_RET_TRACE | FOREIGN_CALL),
    load(DATA_NR),
    { code: JGE, jt: 0, jf: 1, k: X32_BIT },
    stop,
  ];
  for (const { nr, native } of SYSCALLS) {
    const guarded = (shares && MOVES_MAPPINGS.has(nr)) || (signalsAtHome && ON_SIGNALS.has(nr));
    if (native === undefined || guarded) continue;
    const allowed = native === "always" ? [ret(SECCOMP_RET_ALLOW)] : [...native.flatMap(allowIfAll), stop];
    const body = [...guardOwnPages(nr), ...allowed];
    program.push({ code: JEQ, jt: 0, jf: body.length, k: nr }, ...body);
  }
  program.push(stop);
  const out = Buffer.alloc(program.length * 8);
  program.forEach((ins, i) => {
    out.writeUInt16LE(ins.code, i * 8);
    out.writeUInt8(ins.jt, i * 8 + 2);
    out.writeUInt8(ins.jf, i * 8 + 3);
    out.writeUInt32LE(ins.k >>> 0, i * 8 + 4);
  });
  return out;
}
