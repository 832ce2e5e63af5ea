/** Looks at a descriptor at home before a transfer that needs more than one call. */
import { MSG, NR, S, SO, SOCK, SOL, STAT } from "../abi/mod.ts";
import { buffer, done, EMPTY, Forward } from "./forward.ts";
import type { DeputyArea, FinishResult, Plan } from "./types.ts";

/**
 * `file`: a transfer goes on until the count is full (regular files, disks, /dev/zero and the like).
 * `stream`: bytes in a row, a short count is normal. `message`: a socket that keeps the bounds of messages.
 */
export type Kind = "file" | "stream" | "message";

/** Character devices of major 1 (null, zero, full, random, urandom) fill every read. */
const MEMORY_DEVICES = 1;
const major = (dev: bigint): number => Number((dev >> 8n) & 0xfffn);

/** A plan that finds the kind and goes on with what `next` gives. */
export function probeKind(fd: bigint, area: DeputyArea, next: (kind: Kind) => FinishResult): Plan {
  return new Forward(NR.fstat, [fd, area.base, 0n, 0n, 0n, 0n], EMPTY, [{ offset: 0, length: STAT.size }], (result, out) => {
    if (result < 0n) return done(result);
    const stat = buffer(out);
    const type = stat.readUInt32LE(STAT.at.st_mode) & S.IFMT;
    if (type === S.IFSOCK) return { again: probeSocket(fd, area, next) };
    const filling = type === S.IFCHR && major(stat.readBigUInt64LE(STAT.at.st_rdev)) === MEMORY_DEVICES;
    return next(type === S.IFREG || type === S.IFBLK || filling ? "file" : "stream");
  });
}

/** A plan for a descriptor that waits for room; of any other, the call is over with `result`. */
export const planIfStream = (fd: bigint, area: DeputyArea, plan: Plan, result: bigint): Plan =>
  probeKind(fd, area, (kind) => (kind === "stream" ? { again: plan } : done(result)));

/** The same where the descriptor is known to be a socket. */
export function probeSocket(fd: bigint, area: DeputyArea, next: (kind: Kind) => FinishResult): Plan {
  const blob = Buffer.alloc(8);
  blob.writeUInt32LE(4, 0);
  const args = [fd, BigInt(SOL.SOCKET), BigInt(SO.TYPE), area.base + 8n, area.base, 0n];
  return new Forward(NR.getsockopt, args, blob, [{ offset: 8, length: 4 }], (result, out) => {
    if (result < 0n) return done(result);
    return next(buffer(out).readInt32LE(0) === SOCK.STREAM ? "stream" : "message");
  });
}

/** How long the next message is, waiting for it as the call itself would; then `next`. */
export function probeMessage(fd: bigint, flags: number, area: DeputyArea, next: (length: number) => FinishResult): Plan {
  const peek = BigInt(MSG.PEEK | MSG.TRUNC | (flags & (MSG.DONTWAIT | MSG.ERRQUEUE | MSG.OOB)));
  return new Forward(NR.recvfrom, [fd, area.base, 0n, peek, 0n, 0n], EMPTY, [], (result) =>
    result < 0n ? done(result) : next(Number(result)),
  ).waits(true);
}
