/**
 * The machine code that Tesela maps into a process: about 400 bytes at fixed offsets of one page, position
 * independent. The listing is the source; `stub.test.ts` assembles it and compares.
 *
 * - 0x000 deputy loop: r13d = socket, r15 = exchange block. Receives 64 bytes (number, six arguments, how many calls to make ahead),
 *   makes the call, then those of the table behind its buffer (see {@link Behind}), sends 8 bytes of result of the first, whether
 *   anybody hears it or not: what it was told to do before the engine ended is done. When the socket ends: before the commit it gives up its descriptor and its buffer (seat.ts, DeputyMap) and resumes the program where it
 *   was (rt_sigreturn over a frame made in advance), after the commit it kills the process, since its user area is lost.
 * - 0x140 list runner: r15 = blocks of {number, six arguments, result}, r14 = how many; ends in int3.
 * - 0x1c0 one call, then int3.
 * - 0x200 pause for ever.
 */
export const STUB_SOURCE = `
  mov eax, 45
  mov edi, r13d
  mov rsi, r15
  mov edx, 64
  mov r10d, 0x100
  xor r8d, r8d
  xor r9d, r9d
  syscall
  cmp rax, 64
  jne lost
  mov rax, [r15]
  mov rdi, [r15+8]
  mov rsi, [r15+16]
  mov rdx, [r15+24]
  mov r10, [r15+32]
  mov r8, [r15+40]
  mov r9, [r15+48]
  syscall
  mov [r15+64], rax
  mov r12, [r15+56]
  test r12, r12
  jnz ahead
answer:
  mov eax, 44
  mov edi, r13d
  lea rsi, [r15+64]
  mov edx, 8
  mov r10d, 0x4000
  xor r8d, r8d
  xor r9d, r9d
  syscall
  jmp start
lost:
  mov rax, [r15+72]
  cmp dword ptr [rax], 0
  jne die
  mov eax, 3
  mov edi, r13d
  syscall
  mov eax, 11
  lea rdi, [r15+0x7000]
  mov esi, 0x108000
  syscall
  mov rsp, [r15+80]
  mov eax, 15
  syscall
die:
  mov eax, 39
  syscall
  mov edi, eax
  mov esi, 9
  mov eax, 62
  syscall
  jmp die
ahead:
  lea rbx, [r15+0x10d000]
next:
  mov rax, [rbx]
  mov rdi, [rbx+8]
  mov rsi, [rbx+16]
  mov rdx, [rbx+24]
  mov r10, [rbx+32]
  mov r8, [rbx+40]
  mov ecx, [rbx+48]
  test cl, 1
  cmovnz rdi, [r15+64]
  test cl, 2
  jz make
  mov r9d, [r15+0x10ec18]
  and r9d, 0xf000
  cmp r9d, 0x8000
  jne skip
  cmp qword ptr [r15+0x10ec40], 0
  jne make
skip:
  or rax, -1
  jmp made
make:
  syscall
made:
  mov [rbx+56], rax
  add rbx, 64
  dec r12
  jnz next
  jmp answer
.org 0x140
list:
  mov rax, [r15]
  mov rdi, [r15+8]
  mov rsi, [r15+16]
  mov rdx, [r15+24]
  mov r10, [r15+32]
  mov r8, [r15+40]
  mov r9, [r15+48]
  syscall
  mov [r15+56], rax
  add r15, 64
  dec r14
  jnz list
  int3
.org 0x1c0
  syscall
  int3
.org 0x200
rest:
  mov eax, 34
  syscall
  jmp rest
`;

const LOOP =
  "b82d0000004489ef4c89feba4000000041ba000100004531c04531c90f054883f840754b498b07498b7f08498b7710498b57184d8b57204d8b47284d8b4f300f" +
  "05498947404d8b67384d85e47569b82c0000004489ef498d7740ba0800000041ba004000004531c04531c90f05eb91498b47488338007528b8030000004489ef" +
  "0f05b80b000000498dbf00700000be008010000f05498b6750b80f0000000f05b8270000000f0589c7be09000000b83e0000000f05ebe9498d9f00d01000488b" +
  "03488b7b08488b7310488b53184c8b53204c8b43288b4b30f6c101490f457f40f6c1027427458b8f18ec10004181e100f000004181f900800000750a4983bf40" +
  "ec10000075064883c8ffeb020f05488943384883c34049ffcc75a3e92effffff";
const LIST = "498b07498b7f08498b7710498b57184d8b57204d8b47284d8b4f300f05498947384983c74049ffce75d6cc";
const ONE = "0f05cc";
const REST = "b8220000000f05ebf7";

/** Offsets in the page. The `...Return` ones are where a thread stands once the call before them has been made. */
export const Stub = {
  loop: 0x000,
  receiveReturn: 0x01e,
  callReturn: 0x041,
  list: 0x140,
  one: 0x1c0,
  rest: 0x200,
} as const;

export const STUB_SIZE = 0x209;

export function stubCode(): Buffer {
  const code = Buffer.alloc(STUB_SIZE, 0xcc);
  Buffer.from(LOOP, "hex").copy(code, Stub.loop);
  Buffer.from(LIST, "hex").copy(code, Stub.list);
  Buffer.from(ONE, "hex").copy(code, Stub.one);
  Buffer.from(REST, "hex").copy(code, Stub.rest);
  return code;
}

/** The exchange block of a deputy thread, at r15. `committed` points to a word that all threads of a process look at. */
export const Exchange = { request: 0, result: 64, committed: 72, frame: 80, word: 88, size: 96 } as const;
export const REQUEST_BYTES = 64;
/** Where a request says how many calls of the table are made behind its own. */
export const REQUEST_AHEAD = 56;
/** A call of a list or table: as a request, but with its result at the end. */
export const LISTED = { size: 64, result: 56 } as const;
/** The table of calls made ahead, from the exchange block on. */
export const AHEAD_TABLE = 0x10d000;
/** Where in it the stub looks at the `struct stat` that a call before has left. */
export const AHEAD_STAT = 0x1c00;
/** What a call of that table has in the place of a sixth argument. */
export const Behind = { onResult: 1, ifPlain: 2 } as const;
export const RESULT_BYTES = 8;

/** One call as the loop and the list runner read it. */
export interface RawCall {
  readonly nr: number;
  readonly args: readonly (bigint | number)[];
}

export function packCall(call: RawCall, into: Buffer, at: number): void {
  into.writeBigInt64LE(BigInt(call.nr), at);
  for (let i = 0; i < 6; i++) into.writeBigUInt64LE(BigInt.asUintN(64, BigInt(call.args[i] ?? 0)), at + 8 + 8 * i);
}
