/** struct user_regs_struct (arch/x86/include/asm/user_64.h): 27 words, by name. */
export const Reg = {
  r15: 0,
  r14: 1,
  r13: 2,
  r12: 3,
  rbp: 4,
  rbx: 5,
  r11: 6,
  r10: 7,
  r9: 8,
  r8: 9,
  rax: 10,
  rcx: 11,
  rdx: 12,
  rsi: 13,
  rdi: 14,
  origRax: 15,
  rip: 16,
  cs: 17,
  eflags: 18,
  rsp: 19,
  ss: 20,
  fsBase: 21,
  gsBase: 22,
  ds: 23,
  es: 24,
  fs: 25,
  gs: 26,
} as const;
export type RegName = keyof typeof Reg;

export const REGS_WORDS = 27;
export const REGS_BYTES = REGS_WORDS * 8;
/** 64-bit user code (USER_CS); anything else is 32-bit code. */
export const USER_CS = 0x33n;
export const USER_SS = 0x2bn;
/** "Not in a system call": what orig_rax holds then, and what skips one at a seccomp stop. */
export const NO_SYSCALL = 0xffff_ffff_ffff_ffffn;
/** Length of the `syscall` instruction. */
export const SYSCALL_INSN = 2n;

/** The order in which the kernel takes system-call arguments. */
export const ARG_REGS = [Reg.rdi, Reg.rsi, Reg.rdx, Reg.r10, Reg.r8, Reg.r9] as const;

/** A register file; words are unsigned. */
export class Regs {
  readonly words = new BigUint64Array(REGS_WORDS);
  readonly bytes: Uint8Array = new Uint8Array(this.words.buffer);

  static from(bytes: Uint8Array): Regs {
    const r = new Regs();
    r.bytes.set(bytes);
    return r;
  }

  /** Sets a thread that stands behind a system call to make it (again). */
  static repeat(regs: Regs, nr: number): void {
    regs.set(Reg.rip, regs.get(Reg.rip) - SYSCALL_INSN);
    regs.set(Reg.rax, BigInt(nr));
    regs.set(Reg.origRax, NO_SYSCALL);
  }

  clone(): Regs {
    return Regs.from(this.bytes);
  }

  get(index: number): bigint {
    return this.words[index] as bigint;
  }
  set(index: number, value: bigint): void {
    this.words[index] = BigInt.asUintN(64, value);
  }

  /** rax as the kernel returns it, signed. */
  get result(): bigint {
    return BigInt.asIntN(64, this.words[Reg.rax] as bigint);
  }
  /** The number of the system call the thread is in, or -1. */
  get syscallNumber(): number {
    return Number(BigInt.asIntN(64, this.words[Reg.origRax] as bigint));
  }
  get args(): bigint[] {
    return ARG_REGS.map((i) => this.words[i] as bigint);
  }

  /** Makes the thread run `nr(args)` at `rip` when it goes on, as 64-bit code whatever it was running. */
  setCall(rip: bigint, nr: number, args: readonly (bigint | number)[]): void {
    this.set(Reg.cs, USER_CS);
    this.set(Reg.ss, USER_SS);
    this.set(Reg.rip, rip);
    this.set(Reg.rax, BigInt(nr));
    this.set(Reg.origRax, NO_SYSCALL);
    ARG_REGS.forEach((reg, i) => {
      this.set(reg, BigInt(args[i] ?? 0));
    });
  }
}
