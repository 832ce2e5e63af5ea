import { KiB } from "../base/mod.ts";
import { Fault, type GuestMemory } from "../forward/mod.ts";
import { memory } from "../sys/mod.ts";
import { outgoing } from "../wire/mod.ts";

/** A guest's memory as the calls see it: an address that is not mapped, or not writable, is EFAULT. */
export class TraceeMemory implements GuestMemory {
  private readonly tid: number;

  constructor(tid: number) {
    this.tid = tid;
  }

  read(addr: bigint, length: number): Buffer {
    const out = room(length);
    if (this.readInto(addr, out) !== length) throw new Fault(addr);
    return out;
  }

  readUpTo(addr: bigint, length: number): Buffer {
    const out = room(length);
    return out.subarray(0, this.readInto(addr, out));
  }

  write(addr: bigint, bytes: Uint8Array): void {
    if (!isUser(addr, bytes.length) || memory.writeUpTo(this.tid, addr, bytes) !== bytes.length) throw new Fault(addr);
  }

  private readInto(addr: bigint, out: Uint8Array): number {
    return isUser(addr, out.length) ? memory.readUpTo(this.tid, addr, out) : 0;
  }
}

/** Most of what is read in large pieces is sent home as it is. */
const room = (length: number): Buffer => (length < LARGE ? Buffer.allocUnsafe(length) : outgoing.take(length));
/** Of smaller ones the copy into one frame costs less than a frame in pieces. */
export const LARGE = 64 * KiB;

/** The user half of the address space (TASK_SIZE_MAX with four-level paging). */
const USER_END = 0x7fff_ffff_f000n;
const isUser = (addr: bigint, length: number): boolean => addr >= 0n && addr + BigInt(length) <= USER_END;
