/** struct msghdr: laid out for the deputy, and brought back. */
import { CMSGHDR, MSGHDR, SCM, SOCKADDR_STORAGE, SOL } from "../abi/mod.ts";
import { BAD_ADDRESS, cannotWrite, isReserved, NEVER_OPEN, tryRead } from "./forward.ts";
import type { Layout } from "./layout.ts";
import { readVector, type Segments } from "./segments.ts";
import type { CallContext, GuestMemory } from "./types.ts";

const AT = MSGHDR.at;

/** A program's msghdr, read. */
export interface Message {
  readonly address: bigint;
  readonly name: bigint;
  readonly nameLength: number;
  readonly control: bigint;
  readonly controlLength: number;
  readonly flags: number;
  /** What to send or to fill; null when the kernel refuses the vector, which `iov` and `iovCount` then stand for. */
  readonly segments: Segments | null;
  readonly refusedArray: Buffer | null;
  readonly iovCount: bigint;
}

export function readMessage(mem: GuestMemory, address: bigint): Message | null {
  const raw = tryRead(mem, address, MSGHDR.size);
  if (raw === null) return null;
  const iovCount = raw.readBigUInt64LE(AT.msg_iovlen);
  const vector = readVector(mem, raw.readBigUInt64LE(AT.msg_iov), Number(iovCount));
  return {
    address,
    name: raw.readBigUInt64LE(AT.msg_name),
    nameLength: raw.readInt32LE(AT.msg_namelen),
    control: raw.readBigUInt64LE(AT.msg_control),
    controlLength: Number(raw.readBigUInt64LE(AT.msg_controllen)),
    flags: raw.readInt32LE(AT.msg_flags),
    segments: "segments" in vector ? vector.segments : null,
    refusedArray: "refused" in vector ? vector.refused : null,
    iovCount,
  };
}

/** A msghdr as the deputy gets it, with its pointers into the area. */
export function buildHeader(
  m: Message,
  parts: { name: bigint; nameLength: number; iov: bigint; count: bigint; control: bigint; controlLength: number },
): Buffer {
  const raw = Buffer.alloc(MSGHDR.size);
  raw.writeBigUInt64LE(parts.name, AT.msg_name);
  raw.writeInt32LE(parts.nameLength, AT.msg_namelen);
  raw.writeBigUInt64LE(parts.iov, AT.msg_iov);
  raw.writeBigUInt64LE(parts.count, AT.msg_iovlen);
  raw.writeBigUInt64LE(parts.control, AT.msg_control);
  raw.writeBigUInt64LE(BigInt(parts.controlLength), AT.msg_controllen);
  raw.writeInt32LE(m.flags, AT.msg_flags);
  return raw;
}

/** The vector that the kernel refuses as it would refuse the program's. */
export function putRefused(m: Message, layout: Layout): { iov: bigint; count: bigint } {
  return m.refusedArray === null ? { iov: BAD_ADDRESS, count: m.iovCount } : { iov: layout.putAt(m.refusedArray), count: 1n };
}

/** Puts the address to send to; the kernel cuts lengths above a sockaddr_storage by itself. */
export function putName(m: Message, layout: Layout, mem: GuestMemory): bigint {
  if (m.name === 0n || m.nameLength <= 0) return m.name === 0n ? 0n : BAD_ADDRESS;
  const bytes = tryRead(mem, m.name, Math.min(m.nameLength, SOCKADDR_STORAGE.size));
  return bytes === null ? BAD_ADDRESS : layout.putAt(bytes);
}

/** Room for the address of the sender. */
export function nameRoom(m: Message, mem: GuestMemory): number {
  if (m.name === 0n || m.nameLength <= 0) return 0;
  const room = Math.min(m.nameLength, SOCKADDR_STORAGE.size);
  return cannotWrite(mem, m.name, room) ? -1 : room;
}

/** Puts control data to send. The deputy's own descriptors are not the program's to pass on. */
export function putControl(m: Message, layout: Layout, mem: GuestMemory, ctx: CallContext): bigint {
  if (m.control === 0n || m.controlLength === 0) return m.control === 0n ? 0n : BAD_ADDRESS;
  if (m.controlLength > layout.left) {
    layout.full = true;
    return 0n;
  }
  const bytes = tryRead(mem, m.control, m.controlLength);
  return bytes === null ? BAD_ADDRESS : layout.putAt(hidePassed(bytes, ctx));
}

function hidePassed(control: Buffer, ctx: CallContext): Buffer {
  const copy = Buffer.from(control);
  let at = 0;
  while (at + CMSGHDR.size <= copy.length) {
    const length = Number(copy.readBigUInt64LE(at));
    if (length < CMSGHDR.size || length > copy.length - at) break;
    if (copy.readInt32LE(at + CMSGHDR.at.cmsg_level) === SOL.SOCKET && copy.readInt32LE(at + CMSGHDR.at.cmsg_type) === SCM.RIGHTS) {
      for (let fd = at + CMSGHDR.size; fd + 4 <= at + length; fd += 4) {
        if (isReserved(copy.readInt32LE(fd), ctx)) copy.writeInt32LE(NEVER_OPEN, fd);
      }
    }
    at += (length + 7) & ~7;
  }
  return copy;
}
