import { STUB_SIZE, stubCode } from "./stub.ts";

/**
 * The program that a guest starts as: a static ELF of one code page (the stub) and some zeroed pages for lists of
 * calls. It has nothing else, so everything the guest maps later is the program's own (elf(5)).
 */
export const SKELETON_BASE = 0x10000n;
export const SKELETON_DATA = SKELETON_BASE + 0x1000n;
export const SKELETON_DATA_SIZE = 0x8000;
export const SKELETON_END = SKELETON_DATA + BigInt(SKELETON_DATA_SIZE);

/**
 * Where a guest whose home has another kernel gets a page of our code and the vdso of the kernel here (vdso-patch.ts): among the addresses
 * that are kept for deputies (engine/own-pages.ts), of which there are none in a guest.
 */
export const THUNKS_AT = 0x2fff_0000_0000n;
export const LOCAL_VDSO_AT = THUNKS_AT + 0x1000n;
export const LOCAL_VDSO_END = THUNKS_AT + 0x40000n;

/** Whether an area of a guest is the engine's. */
export const isEngines = ({ start, end }: { readonly start: bigint; readonly end: bigint }): boolean =>
  (start >= SKELETON_BASE && end <= SKELETON_END) || (start >= THUNKS_AT && end <= LOCAL_VDSO_END);

const PT_LOAD = 1;
const PF_X = 1;
const PF_W = 2;
const PF_R = 4;
const EHDR = 64;
const PHDR = 56;
const CODE_AT = 0x1000;

export function skeletonElf(entry: number): Buffer {
  const elf = Buffer.alloc(CODE_AT + STUB_SIZE);
  elf.write("\x7fELF\x02\x01\x01", "latin1");
  elf.writeUInt16LE(2, 16); // ET_EXEC
  elf.writeUInt16LE(62, 18); // EM_X86_64
  elf.writeUInt32LE(1, 20);
  elf.writeBigUInt64LE(SKELETON_BASE + BigInt(entry), 24);
  elf.writeBigUInt64LE(BigInt(EHDR), 32);
  elf.writeUInt16LE(EHDR, 52);
  elf.writeUInt16LE(PHDR, 54);
  elf.writeUInt16LE(2, 56);
  const segment = (i: number, flags: number, offset: number, vaddr: bigint, filesz: number, memsz: number): void => {
    const at = EHDR + i * PHDR;
    elf.writeUInt32LE(PT_LOAD, at);
    elf.writeUInt32LE(flags, at + 4);
    elf.writeBigUInt64LE(BigInt(offset), at + 8);
    elf.writeBigUInt64LE(vaddr, at + 16);
    elf.writeBigUInt64LE(vaddr, at + 24);
    elf.writeBigUInt64LE(BigInt(filesz), at + 32);
    elf.writeBigUInt64LE(BigInt(memsz), at + 40);
    elf.writeBigUInt64LE(0x1000n, at + 48);
  };
  segment(0, PF_R | PF_X, CODE_AT, SKELETON_BASE, STUB_SIZE, STUB_SIZE);
  segment(1, PF_R | PF_W, 0, SKELETON_DATA, 0, SKELETON_DATA_SIZE);
  stubCode().copy(elf, CODE_AT);
  return elf;
}
