import { assert } from "../base/mod.ts";
import { Reg, type Regs } from "../sys/mod.ts";
import { forSigreturn } from "./xstate.ts";

/**
 * An rt_sigframe that rt_sigreturn(2) turns back into a whole thread: registers, extended registers, signal mask and
 * alternate stack (arch/x86/include/uapi/asm/sigcontext.h, ucontext.h; arch/x86/kernel/signal_64.c).
 */
const UC_FP_XSTATE = 0x1;
const UC_SIGCONTEXT_SS = 0x2;
const UC_STRICT_RESTORE_SS = 0x4;
const FP_XSTATE_MAGIC1 = 0x46505853;
const FP_XSTATE_MAGIC2 = 0x46505845;
/** Where the kernel keeps struct _fpx_sw_bytes in the legacy area. */
const SW_BYTES = 464;

const UC_STACK = 16;
const UC_MCONTEXT = 40;
/** Offset of a frame's signal mask from its ucontext, to which the stack points when rt_sigreturn(2) is called. */
export const UC_SIGMASK = UC_MCONTEXT + 256;
const UCONTEXT_SIZE = UC_SIGMASK + 8;
const SIGINFO = 128;

/** struct sigcontext_64's general registers, in its order. */
const SIGCONTEXT_REGS = [
  Reg.r8,
  Reg.r9,
  Reg.r10,
  Reg.r11,
  Reg.r12,
  Reg.r13,
  Reg.r14,
  Reg.r15,
  Reg.rdi,
  Reg.rsi,
  Reg.rbp,
  Reg.rbx,
  Reg.rdx,
  Reg.rax,
  Reg.rcx,
  Reg.rsp,
  Reg.rip,
  Reg.eflags,
] as const;

export interface AltStack {
  readonly sp: bigint;
  readonly flags: number;
  readonly size: bigint;
}

export interface FrameState {
  readonly regs: Regs;
  readonly xstate: Uint8Array;
  readonly sigmask: bigint;
  readonly altStack: AltStack;
}

/** Room that {@link buildSigframe} needs at most for an extended state of this size. */
export const sigframeSize = (xstate: number): number => 8 + UCONTEXT_SIZE + SIGINFO + 64 + xstate + 4;

/**
 * @param base where the frame will lie
 * @returns its bytes, and the stack pointer with which rt_sigreturn finds it
 */
export function buildSigframe(base: bigint, state: FrameState): { bytes: Buffer; rsp: bigint } {
  const { state: xstate, features } = forSigreturn(state.xstate);
  const bytes = Buffer.alloc(sigframeSize(xstate.length));
  const uc = 8;
  bytes.writeBigUInt64LE(BigInt(UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS), uc);
  bytes.writeBigUInt64LE(state.altStack.sp, uc + UC_STACK);
  bytes.writeInt32LE(state.altStack.flags, uc + UC_STACK + 8);
  bytes.writeBigUInt64LE(state.altStack.size, uc + UC_STACK + 16);
  const mc = uc + UC_MCONTEXT;
  SIGCONTEXT_REGS.forEach((reg, i) => {
    bytes.writeBigUInt64LE(state.regs.get(reg), mc + 8 * i);
  });
  bytes.writeUInt16LE(Number(state.regs.get(Reg.cs)), mc + 144);
  bytes.writeUInt16LE(Number(state.regs.get(Reg.ss)), mc + 150);
  bytes.writeBigUInt64LE(state.sigmask, uc + UC_SIGMASK);

  const fpBase = (base + BigInt(uc + UCONTEXT_SIZE + SIGINFO) + 63n) & ~63n;
  const fp = Number(fpBase - base);
  assert(fp + xstate.length + 4 <= bytes.length, "the signal frame fits");
  bytes.writeBigUInt64LE(fpBase, mc + 184);
  bytes.set(xstate, fp);
  bytes.fill(0, fp + SW_BYTES, fp + 512);
  bytes.writeUInt32LE(FP_XSTATE_MAGIC1, fp + SW_BYTES);
  bytes.writeUInt32LE(xstate.length + 4, fp + SW_BYTES + 4);
  bytes.writeBigUInt64LE(features, fp + SW_BYTES + 8);
  bytes.writeUInt32LE(xstate.length, fp + SW_BYTES + 16);
  bytes.writeUInt32LE(FP_XSTATE_MAGIC2, fp + xstate.length);
  // rt_sigreturn looks for the frame 8 below the stack pointer.
  return { bytes, rsp: base + 8n };
}

/**
 * Looks through memory for the frame by which rt_sigreturn(2) has given a thread the registers that it has, all of them.
 * @param memory from an address that is a multiple of 8
 * @returns the mask that it had then
 */
export function returnedMask(memory: Buffer, regs: Regs): bigint | null {
  const wanted = Buffer.alloc(8 * SIGCONTEXT_REGS.length);
  SIGCONTEXT_REGS.forEach((reg, i) => {
    wanted.writeBigUInt64LE(regs.get(reg), 8 * i);
  });
  // Flags are not wholly the program's.
  const at = memory.lastIndexOf(wanted.subarray(0, -8));
  const mask = at + UC_SIGMASK - UC_MCONTEXT;
  return at >= 0 && mask + 8 <= memory.length ? memory.readBigUInt64LE(mask) : null;
}
