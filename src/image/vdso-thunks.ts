/**
 * What a call into a vdso of another kernel becomes: machine code that hands it to the vdso of the kernel here, or makes the system call.
 *
 * Each piece first touches what the call would write to, so that a bad pointer faults before anything has happened, with all registers as
 * they were on entry but for rax. Up to the jump or the call's own instruction a thread in it can be put back to the entry as if it had not
 * begun; behind the call nothing is left but to return.
 */

/** How a function of the vdso is made here. */
interface Shape {
  /** The system call that does the same. */
  readonly nr: number;
  /** What it writes to: arguments 1 (rdi) and 2 (rsi), how many bytes, and whether it may be null. */
  readonly writes: readonly { readonly argument: 1 | 2; readonly bytes: number; readonly nullable: boolean }[];
  /** The first argument is a clock: those of CPU time, and clocks that the kernels here may not know, are asked for by the call. */
  readonly clock?: true;
}

const SHAPES: Readonly<Record<string, Shape>> = {
  clock_gettime: { nr: 228, writes: [{ argument: 2, bytes: 16, nullable: false }], clock: true },
  clock_getres: { nr: 229, writes: [{ argument: 2, bytes: 16, nullable: true }], clock: true },
  gettimeofday: {
    nr: 96,
    writes: [
      { argument: 1, bytes: 16, nullable: true },
      { argument: 2, bytes: 8, nullable: true },
    ],
  },
  time: { nr: 201, writes: [{ argument: 1, bytes: 8, nullable: true }] },
  getcpu: {
    nr: 309,
    writes: [
      { argument: 1, bytes: 4, nullable: true },
      { argument: 2, bytes: 4, nullable: true },
    ],
  },
};
const GETRANDOM = 318;

export interface Thunk {
  readonly code: Buffer;
  /** Offsets at which nothing is left but to return. */
  readonly returns: readonly number[];
}

/** struct vgetrandom_opaque_params (include/uapi/linux/random.h): what home's vdso says of the states that programs keep for it. */
export const RANDOM_PARAMS_BYTES = 64;

/**
 * @param at where the code will be, and `local` the function of the vdso here; null: the system call is made
 * @param random of home's getrandom
 * @returns null for a function that is not known
 */
export function makeThunk(name: string, at: bigint, local: bigint | null, random: Buffer | null): Thunk | null {
  if (name === "getrandom") return randomThunk(random);
  const shape = SHAPES[name];
  return shape ? callThunk(shape, at, local) : null;
}

function callThunk(shape: Shape, at: bigint, local: bigint | null): Thunk {
  const code = new Code();
  if (shape.clock) {
    code.add(0x83, 0xff, 0x07).jump(JA, "call"); // cmp edi, CLOCK_BOOTTIME
    code.add(0x83, 0xff, 0x02).jump(JE, "call"); // CLOCK_PROCESS_CPUTIME_ID
    code.add(0x83, 0xff, 0x03).jump(JE, "call"); // CLOCK_THREAD_CPUTIME_ID
  }
  for (const { argument, bytes, nullable } of shape.writes) {
    const [test, first, last] = argument === 1 ? [0xff, 0x0f, 0x4f] : [0xf6, 0x0e, 0x4e];
    const skip = `null${argument}`;
    if (nullable) code.add(0x48, 0x85, test).jump(JE, skip); // test rdi, rdi
    code.add(0x80, first, 0); // or byte ptr [rdi], 0
    code.add(0x80, last, bytes - 1, 0);
    code.label(skip);
  }
  if (local !== null) code.far(at, local);
  code.label("call").call(shape.nr);
  return code.done();
}

const EFAULT = 14;
const PAGE = 4096;
/**
 * The system call is always right in place of what the vdso does with a state (lib/vdso/getrandom.c falls back to it): the state stays as
 * home's kernel made it. What a program is told about states are home's words.
 */
function randomThunk(params: Buffer | null): Thunk {
  const code = new Code();
  code.add(0x49, 0x83, 0xf8, 0xff).jump(JNE, "random"); // cmp r8, -1
  code.add(0x48, 0x85, 0xff).jump(JNE, "random"); // test rdi, rdi
  code.add(0x48, 0x85, 0xf6).jump(JNE, "random"); // test rsi, rsi
  code.add(0x85, 0xd2).jump(JNE, "random"); // test edx, edx
  code.near("params");
  code.label("random");
  if (params) {
    code.add(0x89, 0xc8, 0x25).word(PAGE - 1); // mov eax, ecx; and eax, imm32: a state that crosses a page
    code.add(0x05).word(params.readUInt32LE(0) - 1); // add eax, imm32
    code.add(0x3d).word(PAGE).jump(JB, "whole"); // cmp eax, imm32
    code.add(0x48, 0xc7, 0xc0).word(-EFAULT).returns(); // mov rax, imm32
  }
  code.label("whole").call(GETRANDOM);
  code.label("params");
  if (params) {
    for (let at = 0; at < RANDOM_PARAMS_BYTES; at += 4) code.add(0xc7, 0x41, at).word(params.readUInt32LE(at)); // mov dword ptr [rcx + at], imm32
    code.add(0x31, 0xc0).returns(); // xor eax, eax
  } else code.add(HLT);
  return code.done();
}

const JA = 0x77;
const JB = 0x72;
const JE = 0x74;
const JNE = 0x75;
/** Faults outside the kernel (#GP), where it stands. */
export const HLT = 0xf4;

/** Machine code with jumps forward: conditional ones of a byte, others of four. */
class Code {
  private readonly bytes: number[] = [];
  private readonly jumps: { readonly at: number; readonly bytes: 1 | 4; readonly to: string }[] = [];
  private readonly labels = new Map<string, number>();
  private readonly ends: number[] = [];

  add(...bytes: readonly number[]): this {
    this.bytes.push(...bytes);
    return this;
  }
  word(value: number): this {
    const b = Buffer.alloc(4);
    b.writeInt32LE(value | 0);
    return this.add(...b);
  }
  jump(opcode: number, to: string): this {
    this.jumps.push({ at: this.bytes.length + 1, bytes: 1, to });
    return this.add(opcode, 0);
  }
  near(to: string): this {
    this.jumps.push({ at: this.bytes.length + 1, bytes: 4, to });
    return this.add(0xe9, 0, 0, 0, 0);
  }
  label(name: string): this {
    this.labels.set(name, this.bytes.length);
    return this;
  }
  far(at: bigint, to: bigint): this {
    return this.add(0xe9).word(Number(to - (at + BigInt(this.bytes.length) + 4n)));
  }
  call(nr: number): this {
    return this.add(0xb8).word(nr).add(0x0f, 0x05).returns();
  }
  returns(): this {
    this.ends.push(this.bytes.length);
    return this.add(0xc3);
  }
  done(): Thunk {
    const code = Buffer.from(this.bytes);
    for (const { at, bytes, to } of this.jumps) code.writeIntLE((this.labels.get(to) ?? 0) - at - bytes, at, bytes);
    return { code, returns: this.ends };
  }
}
