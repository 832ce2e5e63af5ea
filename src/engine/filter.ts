/**
 * The seccomp filter of a guest (seccomp(2), BPF as in seccomp_unotify(2)): calls that only touch memory, time and the
 * thread itself run where they are made; every other call stops the guest for its engine (default deny).
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
const JSET = 0x45;
const AND = 0x54;
const RET = 0x06;
export const SECCOMP_RET_TRACE = 0x7ff00000;
export const SECCOMP_RET_ALLOW = 0x7fff0000;
const AUDIT_ARCH_X86_64 = 0xc000003e;
const X32_BIT = 0x40000000;
const DATA_NR = 0;
const DATA_ARCH = 4;
const argLow = (i: number): number => 16 + 8 * i;

/** Calls that always run at the guest. */
const LOCAL: readonly number[] = [
  10 /* mprotect */, 11 /* munmap */, 12 /* brk */, 14 /* rt_sigprocmask */, 15 /* rt_sigreturn */, 24 /* sched_yield */, 25 /* mremap */,
  34 /* pause */, 96 /* gettimeofday */, 127 /* rt_sigpending */, 128 /* rt_sigtimedwait */, 130 /* rt_sigsuspend */, 131 /* sigaltstack */,
  201 /* time */, 202 /* futex */, 219 /* restart_syscall */, 273 /* set_robust_list */, 318 /* getrandom */, 334 /* rseq */, 324 /* membarrier */,
  449 /* futex_waitv */, 454, 455, 456 /* futex_wake, futex_wait, futex_requeue */,
];

/** mmap(2) flags under which memory is the guest's own affair: private and anonymous, and nothing exotic. */
const MMAP = 9;
const MAP_ANONYMOUS = 0x20;
const MAP_PRIVATE = 0x2;
const MAP_EXOTIC = 0x01 | 0x2000 | 0x40000; // shared, locked, hugetlb
/** madvise(2) advice without effect outside the area. */
const MADVISE = 28;
const MADVISE_LOCAL: readonly number[] = [0, 1, 2, 3, 4, 8, 14, 15, 20, 21, 22, 23, 25];
/** Clocks that are the same everywhere (clock_gettime(2)); CPU-time clocks are not. */
const CLOCK_CALLS: readonly number[] = [228 /* clock_gettime */, 229 /* clock_getres */];
const CLOCKS: readonly number[] = [0, 1, 4, 5, 6, 7, 11];
const ARCH_PRCTL = 158;
const ARCH_SET_GET_BASES: readonly number[] = [0x1001, 0x1002, 0x1003, 0x1004];

const load = (k: number): Instruction => ({ code: LOAD, jt: 0, jf: 0, k });
const ret = (k: number): Instruction => ({ code: RET, jt: 0, jf: 0, k });
const allowIfNr = (nr: number): Instruction[] => [{ code: JEQ, jt: 0, jf: 1, k: nr }, ret(SECCOMP_RET_ALLOW)];

/** `nr` is allowed when its argument has one of the values; else it stops. */
function allowIfArg(nr: number, arg: number, values: readonly number[]): Instruction[] {
  const body = [load(argLow(arg)), ...values.flatMap((v) => [{ code: JEQ, jt: 0, jf: 1, k: v }, ret(SECCOMP_RET_ALLOW)]), ret(SECCOMP_RET_TRACE)];
  return [{ code: JEQ, jt: 0, jf: body.length, k: nr }, ...body];
}

function allowAnonymousMmap(): Instruction[] {
  const body = [
    load(argLow(3)),
    { code: JSET, jt: 0, jf: 4, k: MAP_ANONYMOUS },
    { code: JSET, jt: 3, jf: 0, k: MAP_EXOTIC },
    { code: AND, jt: 0, jf: 0, k: MAP_PRIVATE },
    { code: JEQ, jt: 0, jf: 1, k: MAP_PRIVATE },
    ret(SECCOMP_RET_ALLOW),
    ret(SECCOMP_RET_TRACE),
  ];
  return [{ code: JEQ, jt: 0, jf: body.length, k: MMAP }, ...body];
}

/** The program for prctl or seccomp(2): struct sock_filter, 8 bytes each. */
export function guestFilter(): Buffer {
  const program: Instruction[] = [
    load(DATA_ARCH),
    { code: JEQ, jt: 1, jf: 0, k: AUDIT_ARCH_X86_64 },
    ret(SECCOMP_RET_TRACE),
    load(DATA_NR),
    { code: JGE, jt: 0, jf: 1, k: X32_BIT },
    ret(SECCOMP_RET_TRACE),
    ...LOCAL.flatMap(allowIfNr),
    ...allowAnonymousMmap(),
    ...allowIfArg(MADVISE, 2, MADVISE_LOCAL),
    ...CLOCK_CALLS.flatMap((nr) => allowIfArg(nr, 0, CLOCKS)),
    ...allowIfArg(ARCH_PRCTL, 0, ARCH_SET_GET_BASES),
    ret(SECCOMP_RET_TRACE),
  ];
  const out = Buffer.alloc(program.length * 8);
  program.forEach((ins, i) => {
    out.writeUInt16LE(ins.code, i * 8);
    out.writeUInt8(ins.jt, i * 8 + 2);
    out.writeUInt8(ins.jf, i * 8 + 3);
    out.writeUInt32LE(ins.k >>> 0, i * 8 + 4);
  });
  return out;
}
