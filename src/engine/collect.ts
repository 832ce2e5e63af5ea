import { memory } from "../sys/mod.ts";
import { outgoing } from "../wire/mod.ts";
import { LARGE } from "./guest-memory.ts";
import { type CallFrame, outLengths } from "./hot-frames.ts";

/** The bytes of the ranges that travel back with a call's result, out of the deputy's buffer. */
export function collect(pid: number, buffer: bigint, frame: CallFrame, result: bigint): Uint8Array[] {
  if (frame.outs.length === 0) return [];
  const lengths = outLengths(frame.outs, result);
  const parts: Uint8Array[] = [];
  frame.outs.forEach((out, i) => {
    const n = lengths[i] ?? 0;
    if (n === 0) return;
    const bytes = n < LARGE ? Buffer.allocUnsafe(n) : outgoing.take(n);
    const got = memory.readUpTo(pid, buffer + BigInt(out.offset), bytes);
    if (got < n) bytes.fill(0, got);
    parts.push(bytes);
  });
  return parts;
}
