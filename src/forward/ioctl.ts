/** ioctl(2): requests of the table, requests that encode their shape truly, and the few that point further. */
import {
  IFCONF,
  IOC_READ,
  IOC_WRITE,
  IOCTL_ENCODED_TYPES,
  IOCTL_SPECIAL,
  type IoctlArg,
  ioctlDirection,
  ioctlRow,
  ioctlSize,
  ioctlType,
  NR,
} from "../abi/mod.ts";
import {
  asUint,
  back,
  BAD_ADDRESS,
  buffer,
  cannotWrite,
  done,
  EFAULT_RESULT,
  fdArg,
  Forward,
  six,
  TOO_BIG,
  tryRead,
  tryWrite,
} from "./forward.ts";
import { pointerCall } from "./fcntl.ts";
import { Layout } from "./layout.ts";
import type { Specials } from "./special.ts";
import type { DeputyArea, GuestMemory, Plan, Planner } from "./types.ts";

/** The argument of a request, from the table or from its number; undefined for what is unknown. */
function argOf(request: number): IoctlArg | undefined {
  const row = ioctlRow(request);
  if (row !== undefined) return row.arg;
  if (!IOCTL_ENCODED_TYPES.includes(ioctlType(request))) return undefined;
  const direction = ioctlDirection(request);
  const size = ioctlSize(request);
  if (direction === 0 || size === 0) return { kind: "n" };
  return { kind: direction === (IOC_READ | IOC_WRITE) ? "x" : direction === IOC_READ ? "o" : "i", size };
}

const ioctl: Planner = (args, mem, area, ctx): Plan => {
  const request = asUint(args[1]);
  const a = six(args);
  a[0] = fdArg(a[0], ctx);
  switch (request) {
    case IOCTL_SPECIAL.SIOCGIFCONF:
      return interfaces(a, mem, area);
    case IOCTL_SPECIAL.FS_IOC_FIEMAP:
      return withArray(a, mem, area, FIEMAP);
    case IOCTL_SPECIAL.FIDEDUPERANGE:
      return withArray(a, mem, area, DEDUPE);
  }
  const arg = argOf(request);
  if (arg === undefined) return back(`ioctl: 0x${request.toString(16)}`);
  switch (arg.kind) {
    case "n":
      return new Forward(NR.ioctl, a).waits();
    case "f":
      a[2] = fdArg(a[2], ctx);
      return new Forward(NR.ioctl, a);
    case "i":
      return pointerCall(NR.ioctl, a, 2, arg.size, 0, mem, area).waits();
    case "o":
      return pointerCall(NR.ioctl, a, 2, 0, arg.size, mem, area);
    case "x":
      return pointerCall(NR.ioctl, a, 2, arg.size, arg.size, mem, area);
  }
};

interface ArrayShape {
  readonly head: number;
  /** Where the count of elements stands in the head, and in how many bytes. */
  readonly count: number;
  readonly countBytes: 2 | 4;
  readonly element: number;
}
/** struct fiemap and its extents (linux/fiemap.h). */
const FIEMAP: ArrayShape = { head: 32, count: 24, countBytes: 4, element: 56 };
/** struct file_dedupe_range and its info (linux/fs.h). */
const DEDUPE: ArrayShape = { head: 24, count: 16, countBytes: 2, element: 32 };

/** A structure with an array at its end, read and written as a whole. */
function withArray(a: bigint[], mem: GuestMemory, area: DeputyArea, shape: ArrayShape): Plan {
  const head = tryRead(mem, a[2] ?? 0n, shape.head);
  if (head === null) {
    a[2] = BAD_ADDRESS;
    return new Forward(NR.ioctl, a);
  }
  const size = shape.head + head.readUIntLE(shape.count, shape.countBytes) * shape.element;
  if (size > area.size) return TOO_BIG;
  return pointerCall(NR.ioctl, a, 2, size, size, mem, area);
}

/** SIOCGIFCONF: struct ifconf names a buffer, or asks how large it must be. */
function interfaces(a: bigint[], mem: GuestMemory, area: DeputyArea): Plan {
  const address = a[2] ?? 0n;
  const head = tryRead(mem, address, IFCONF.size);
  if (head === null) {
    a[2] = BAD_ADDRESS;
    return new Forward(NR.ioctl, a);
  }
  const target = head.readBigUInt64LE(IFCONF.at.ifc_buf);
  const length = Math.max(0, head.readInt32LE(IFCONF.at.ifc_len));
  const layout = new Layout(area);
  const patched = Buffer.from(head);
  const at = layout.put(patched);
  const room = target === 0n || cannotWrite(mem, target, length) ? 0 : length;
  const bufferAt = layout.room(room);
  if (layout.full) return TOO_BIG;
  if (target !== 0n) patched.writeBigUInt64LE(room === 0 && length > 0 ? BAD_ADDRESS : layout.address(bufferAt), IFCONF.at.ifc_buf);
  a[2] = layout.address(at);
  const outs = [
    { offset: at, length: 4 },
    { offset: bufferAt, length: room },
  ];
  return new Forward(NR.ioctl, a, layout.blob(), outs, (result, out, memory) => {
    if (result < 0n) return done(result);
    const filled = Math.max(0, Math.min(buffer(out).readInt32LE(0), room));
    const ok = tryWrite(memory, target, out.subarray(4, 4 + filled)) && tryWrite(memory, address, out.subarray(0, 4));
    return done(ok ? result : EFAULT_RESULT);
  });
}

export const ioctls: Specials = { ioctl };
