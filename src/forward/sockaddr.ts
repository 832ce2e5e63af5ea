/** Buffers whose length goes in and comes out: socket addresses and socket options. */
import { NR, SOCKADDR_STORAGE } from "../abi/mod.ts";
import { BAD_ADDRESS, buffer, cannotWrite, done, EFAULT_RESULT, fdArg, Forward, six, tryRead, tryWrite } from "./forward.ts";
import { closeThen } from "./descriptors.ts";
import { Layout } from "./layout.ts";
import type { Specials } from "./special.ts";
import type { GuestMemory, OutRange, Plan, Planner } from "./types.ts";

export const LENGTH = 4;

/** A socket address that the kernel fills: where it goes in the program, and its two ranges (address, then length). */
export interface AddressOut {
  readonly outs: readonly OutRange[];
  /** Writes both as the kernel does: as much as the program has room for, and the true length. */
  deliver(out: Uint8Array, mem: GuestMemory): boolean;
}

const NOTHING: AddressOut = { outs: [], deliver: () => true };

/** Lays out address argument `at` and the pointer to its length, the argument behind it. */
export function addressOut(a: bigint[], at: number, layout: Layout, mem: GuestMemory): AddressOut {
  const address = a[at] ?? 0n;
  const lengthAt = a[at + 1] ?? 0n;
  const raw = tryRead(mem, lengthAt, LENGTH);
  if (raw === null || cannotWrite(mem, lengthAt, LENGTH)) {
    if (lengthAt !== 0n) a[at + 1] = BAD_ADDRESS;
    if (address !== 0n) a[at] = BAD_ADDRESS;
    return NOTHING;
  }
  const lengthOffset = layout.put(raw);
  a[at + 1] = layout.address(lengthOffset);
  const length = raw.readInt32LE(0);
  const room = Math.max(0, Math.min(length, SOCKADDR_STORAGE.size));
  if (address === 0n || cannotWrite(mem, address, room)) {
    if (address !== 0n) a[at] = BAD_ADDRESS;
    return {
      outs: [{ offset: lengthOffset, length: LENGTH }],
      deliver: (out, memory) => tryWrite(memory, lengthAt, out.subarray(0, LENGTH)),
    };
  }
  const offset = layout.room(room);
  a[at] = layout.address(offset);
  return {
    outs: [
      { offset, length: room },
      { offset: lengthOffset, length: LENGTH },
    ],
    deliver: (out, memory) => {
      const now = buffer(out).readInt32LE(room);
      const known = Math.max(0, Math.min(now, room));
      return tryWrite(memory, address, out.subarray(0, known)) && tryWrite(memory, lengthAt, out.subarray(room, room + LENGTH));
    },
  };
}

/** accept, accept4, getsockname, getpeername: descriptor, address, length. */
const namer =
  (nr: number, waits: boolean): Planner =>
  (args, mem, area, ctx): Plan => {
    const a = six(args);
    a[0] = fdArg(a[0], ctx);
    const layout = new Layout(area);
    const to: AddressOut = waits && a[1] === 0n ? NOTHING : addressOut(a, 1, layout, mem);
    if (to === NOTHING && a[1] === 0n) a[2] = 0n;
    const plan = new Forward(nr, a, layout.blob(), to.outs, (result, out, memory) => {
      if (result < 0n || to.deliver(out, memory)) return done(result);
      // A connection whose peer cannot be told is dropped, as the kernel drops it.
      return waits ? closeThen([Number(result)], EFAULT_RESULT) : done(EFAULT_RESULT);
    });
    return waits ? plan.waits(true) : plan;
  };

export const addresses: Specials = {
  accept: namer(NR.accept, true),
  accept4: namer(NR.accept4, true),
  getsockname: namer(NR.getsockname, false),
  getpeername: namer(NR.getpeername, false),
};
