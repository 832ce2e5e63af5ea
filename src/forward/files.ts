/** Opening files, and calls that fill a buffer of the program's choice with names. */
import { NR, PATH_MAX, XATTR_SIZE_MAX } from "../abi/mod.ts";
import {
  asInt,
  asUint,
  back,
  BAD_ADDRESS,
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
import { Layout } from "./layout.ts";
import { isOwnView, servedEntry } from "./own-view.ts";
import { type Specials, unless } from "./special.ts";
import { readString } from "./strings.ts";
import type { FinishResult, GuestMemory, Plan, Planner } from "./types.ts";

export const OWN_VIEW = back("own_view");

/** open, openat, openat2: as the row says, unless the file is in the process's own corner of /proc. */
const opener = (pathArg: number): Planner | ReturnType<typeof unless> =>
  unless((args, mem, _area, ctx) => {
    const path = readString(mem, args[pathArg] ?? 0n, PATH_MAX);
    if (path === null || !isOwnView(path, ctx)) return null;
    return servedEntry(path.toString("latin1").replace(/\0.*$/s, ""), ctx) === null ? OWN_VIEW : null;
  });

/**
 * Calls of the shape (what..., buffer, size) that fill the buffer and count what they filled. The buffer may be far larger than any
 * answer: `most` is enough for all. When it is cut below what the program offers and the kernel asks for more, the process goes home.
 */
function filler(
  nr: number,
  inputs: readonly { readonly index: number; readonly max: number }[],
  bufferArg: number,
  most: number,
  int: boolean,
): Planner {
  return (args, mem, area, ctx): Plan => {
    const a = six(args);
    if (inputs[0]?.index !== 0) a[0] = fdArg(a[0], ctx);
    const layout = new Layout(area);
    for (const { index, max } of inputs) {
      if (a[index] === 0n) continue;
      const text = readString(mem, a[index] ?? 0n, max);
      a[index] = text === null ? BAD_ADDRESS : layout.putAt(text);
    }
    const address = args[bufferArg] ?? 0n;
    const size = int ? asUint(args[bufferArg + 1]) : Number(args[bufferArg + 1] ?? 0n);
    // No buffer, or a size that the kernel judges by itself: 0 asks how much there is, or is refused.
    if (address === 0n || size === 0 || (int && asInt(args[bufferArg + 1]) < 0)) {
      if (address !== 0n) a[bufferArg] = BAD_ADDRESS;
      return new Forward(nr, a, layout.blob());
    }
    const length = Math.min(size, most);
    if (cannotWrite(mem, address, length)) {
      a[bufferArg] = BAD_ADDRESS;
      return new Forward(nr, a, layout.blob());
    }
    const offset = layout.room(length);
    if (layout.full) return TOO_BIG;
    a[bufferArg] = layout.address(offset);
    a[bufferArg + 1] = BigInt(length);
    return new Forward(nr, a, layout.blob(), [{ offset, length, limit: "return" }], fillerFinish(address));
  };
}

const fillerFinish =
  (address: bigint) =>
  (result: bigint, out: Uint8Array, mem: GuestMemory): FinishResult =>
    result > 0n && !tryWrite(mem, address, out) ? done(EFAULT_RESULT) : done(result);

const path = { index: 0, max: PATH_MAX };
const name = { index: 1, max: 256 };

/** Directory entries: any size is right, the program calls again for more. */
const DIRENTS = 64 * 1024;

/** struct file_handle: what the kernel looks at depends on its first word. */
const MAX_HANDLE = 128;

const nameToHandle: Planner = (args, mem, area, ctx) => {
  const a = six(args);
  a[0] = fdArg(a[0], ctx);
  const layout = new Layout(area);
  const text = a[1] === 0n ? undefined : readString(mem, a[1] ?? 0n, PATH_MAX);
  if (text !== undefined) a[1] = text === null ? BAD_ADDRESS : layout.putAt(text);
  const handle = args[2] ?? 0n;
  const head = tryRead(mem, handle, 8);
  const size = head === null ? 0 : head.readUInt32LE(0);
  // Written on EOVERFLOW as well: the size that is needed.
  const length = 8 + Math.min(size, MAX_HANDLE);
  const outs: { offset: number; length: number; onError?: boolean }[] = [];
  if (head === null || cannotWrite(mem, handle, length)) a[2] = BAD_ADDRESS;
  else {
    const offset = layout.put(Buffer.concat([head], length));
    a[2] = layout.address(offset);
    outs.push({ offset, length, onError: true });
  }
  const mountId = args[3] ?? 0n;
  const idSize = asInt(args[4]) & 1 ? 8 : 4;
  if (cannotWrite(mem, mountId, idSize)) a[3] = mountId === 0n ? 0n : BAD_ADDRESS;
  else {
    const offset = layout.put(Buffer.alloc(idSize));
    a[3] = layout.address(offset);
    outs.push({ offset, length: idSize, onError: true });
  }
  const EOVERFLOW = -75n;
  return new Forward(NR.name_to_handle_at, a, layout.blob(), outs, (result, out, memory) => {
    if ((result < 0n && result !== EOVERFLOW) || outs.length < 2) return done(result);
    const fits = result === 0n ? length : 8;
    const ok = tryWrite(memory, handle, out.subarray(0, fits)) && tryWrite(memory, mountId, out.subarray(length, length + idSize));
    return done(ok ? result : EFAULT_RESULT);
  });
};

const openByHandle: Planner = (args, mem, area, ctx) => {
  const a = six(args);
  a[0] = fdArg(a[0], ctx);
  const size = tryRead(mem, args[1] ?? 0n, 8)?.readUInt32LE(0);
  const handle = size === undefined ? null : tryRead(mem, args[1] ?? 0n, 8 + Math.min(size, MAX_HANDLE));
  a[1] = handle === null ? BAD_ADDRESS : area.base;
  return new Forward(NR.open_by_handle_at, a, handle ?? Buffer.alloc(0)).waits();
};

export const files: Specials = {
  open: opener(0),
  creat: opener(0),
  openat: opener(1),
  openat2: opener(1),
  getdents: filler(NR.getdents, [], 1, DIRENTS, true),
  getdents64: filler(NR.getdents64, [], 1, DIRENTS, true),
  readlink: filler(NR.readlink, [path], 1, PATH_MAX, true),
  readlinkat: filler(NR.readlinkat, [{ index: 1, max: PATH_MAX }], 2, PATH_MAX, true),
  getxattr: filler(NR.getxattr, [path, name], 2, XATTR_SIZE_MAX, false),
  lgetxattr: filler(NR.lgetxattr, [path, name], 2, XATTR_SIZE_MAX, false),
  fgetxattr: filler(NR.fgetxattr, [name], 2, XATTR_SIZE_MAX, false),
  listxattr: filler(NR.listxattr, [path], 1, XATTR_SIZE_MAX, false),
  llistxattr: filler(NR.llistxattr, [path], 1, XATTR_SIZE_MAX, false),
  flistxattr: filler(NR.flistxattr, [], 1, XATTR_SIZE_MAX, false),
  getcwd: (args, mem, area) => {
    const a = six(args);
    const address = a[0] ?? 0n;
    const length = Math.min(Number(a[1] ?? 0n), PATH_MAX);
    if (length === 0 || cannotWrite(mem, address, length)) {
      a[0] = address === 0n ? 0n : BAD_ADDRESS;
      return new Forward(NR.getcwd, a);
    }
    a[0] = area.base;
    return new Forward(NR.getcwd, a, Buffer.alloc(0), [{ offset: 0, length, limit: "return" }], fillerFinish(address));
  },
  name_to_handle_at: nameToHandle,
  open_by_handle_at: openByHandle,
};
