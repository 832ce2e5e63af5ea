/** Extended attributes by struct xattr_args, attributes of security modules, NUMA policy: sizes that stand elsewhere than in a register. */
import { LSM_SIZE, NR, XATTR_ARGS, XATTR_SIZE_MAX, PATH_MAX } from "../abi/mod.ts";
import {
  asSize,
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
import type { Specials } from "./special.ts";
import { readString } from "./strings.ts";
import type { OutRange, Plan, Planner } from "./types.ts";

const NAME_SIZE = 256;
const PAGE = 4096;

/** setxattrat, getxattrat(dirfd, path, flags, name, struct xattr_args, its size): the structure points to the value. */
const xattrAt =
  (nr: number, get: boolean): Planner =>
  (args, mem, area, ctx): Plan => {
    const a = six(args);
    a[0] = fdArg(a[0], ctx);
    const layout = new Layout(area);
    const put = (index: number, bytes: Uint8Array | null): void => {
      if (a[index] !== 0n) a[index] = bytes === null ? BAD_ADDRESS : layout.putAt(bytes);
    };
    put(1, readString(mem, a[1] ?? 0n, PATH_MAX));
    put(3, readString(mem, a[3] ?? 0n, NAME_SIZE));
    const size = asSize(a[5]);
    const known = size < XATTR_ARGS.size || size > PAGE ? null : tryRead(mem, a[4] ?? 0n, size);
    if (known === null) {
      a[4] = a[4] === 0n ? 0n : BAD_ADDRESS;
      return new Forward(nr, a, layout.blob());
    }
    const raw = Buffer.from(known);
    const value = raw.readBigUInt64LE(XATTR_ARGS.at.value);
    const length = raw.readUInt32LE(XATTR_ARGS.at.size);
    const outs: OutRange[] = [];
    let at = value;
    if (value !== 0n && length > 0 && get) {
      const room = Math.min(length, XATTR_SIZE_MAX);
      if (cannotWrite(mem, value, room)) at = BAD_ADDRESS;
      else {
        const offset = layout.room(room);
        at = layout.address(offset);
        outs.push({ offset, length: room, limit: "return" });
      }
    } else if (value !== 0n && length > 0) {
      const bytes = length > XATTR_SIZE_MAX ? null : tryRead(mem, value, length);
      at = bytes === null ? BAD_ADDRESS : layout.putAt(bytes);
    }
    raw.writeBigUInt64LE(at, XATTR_ARGS.at.value);
    a[4] = layout.putAt(raw);
    if (layout.full) return TOO_BIG;
    return new Forward(nr, a, layout.blob(), outs, (result, out, memory) =>
      done(result > 0n && outs.length > 0 && !tryWrite(memory, value, out) ? EFAULT_RESULT : result),
    );
  };

/** More than any kernel has to tell. */
const LSM_MOST = 64 * 1024;
const E2BIG = -7n;

/** lsm_get_self_attr, lsm_list_modules: a pointer to the size stands behind the buffer, and is told the size that is needed. */
const lsm =
  (nr: number, buffer: number): Planner =>
  (args, mem, area): Plan => {
    const a = six(args);
    const layout = new Layout(area);
    const [address, sizeAt] = [a[buffer] ?? 0n, a[buffer + 1] ?? 0n];
    const raw = tryRead(mem, sizeAt, LSM_SIZE);
    if (raw === null || cannotWrite(mem, sizeAt, LSM_SIZE)) {
      a[buffer] = address === 0n ? 0n : BAD_ADDRESS;
      a[buffer + 1] = sizeAt === 0n ? 0n : BAD_ADDRESS;
      return new Forward(nr, a);
    }
    const sizeOffset = layout.put(raw);
    a[buffer + 1] = layout.address(sizeOffset);
    const outs: OutRange[] = [{ offset: sizeOffset, length: LSM_SIZE, onError: true }];
    const length = Math.min(raw.readUInt32LE(0), LSM_MOST);
    // What it holds goes in (flags may ask for it), and what the kernel does not write stays.
    const held = address === 0n || cannotWrite(mem, address, length) ? null : tryRead(mem, address, length);
    if (held !== null && length > 0) {
      const offset = layout.put(held);
      a[buffer] = layout.address(offset);
      outs.push({ offset, length, onError: true });
    } else if (address !== 0n) a[buffer] = BAD_ADDRESS;
    if (layout.full) return TOO_BIG;
    return new Forward(nr, a, layout.blob(), outs, (result, out, memory) => {
      if (result < 0n && result !== E2BIG) return done(result);
      const ok =
        tryWrite(memory, sizeAt, out.subarray(0, LSM_SIZE)) && (outs.length < 2 || tryWrite(memory, address, out.subarray(LSM_SIZE)));
      return done(ok ? result : EFAULT_RESULT);
    });
  };

const MPOL_F_ADDR = 2;
const BITS = 64;
/** A set of nodes of so many bits, in whole words. The kernel refuses more than a page of them. */
const nodeBytes = (bits: number): number => Math.ceil(bits / BITS) * 8;

/** The policy of the thread is home's; that of an address belongs to the memory. */
const getMempolicy: Planner = (args, mem, area): Plan => {
  if (asUint(args[4]) & MPOL_F_ADDR) return back("numa");
  const a = six(args);
  const layout = new Layout(area);
  const outs: OutRange[] = [];
  const targets: bigint[] = [];
  const room = (index: number, length: number): void => {
    const address = a[index] ?? 0n;
    if (address === 0n) return;
    if (length > PAGE || cannotWrite(mem, address, length)) {
      a[index] = BAD_ADDRESS;
      return;
    }
    const offset = layout.put(tryRead(mem, address, length) ?? Buffer.alloc(length));
    a[index] = layout.address(offset);
    outs.push({ offset, length });
    targets.push(address);
  };
  room(0, 4);
  room(1, nodeBytes(Math.max(asSize(a[2]) - 1, 0)));
  return new Forward(NR.get_mempolicy, a, layout.blob(), outs, (result, out, memory) => {
    if (result < 0n) return done(result);
    let at = 0;
    for (const [i, { length }] of outs.entries()) {
      if (!tryWrite(memory, targets[i] ?? 0n, out.subarray(at, at + length))) return done(EFAULT_RESULT);
      at += length;
    }
    return done(result);
  });
};

/** Where memory comes from is advice, and children inherit it at home. */
const setMempolicy: Planner = (args, mem, area): Plan => {
  const a = six(args);
  const length = nodeBytes(Math.max(asSize(a[2]) - 1, 0));
  const nodes = a[1] === 0n || length > PAGE ? null : tryRead(mem, a[1] ?? 0n, length);
  if (a[1] !== 0n) a[1] = nodes === null ? BAD_ADDRESS : area.base;
  return new Forward(NR.set_mempolicy, a, nodes ?? Buffer.alloc(0));
};

const REBOOT_RESTART2 = 0xa1b2c3d4;

/** reboot(2): only one command has a string. */
const reboot: Planner = (args, mem, area): Plan => {
  const a = six(args);
  if (asUint(a[2]) !== REBOOT_RESTART2) return new Forward(NR.reboot, a);
  const text = readString(mem, a[3] ?? 0n, NAME_SIZE);
  a[3] = text === null ? BAD_ADDRESS : area.base;
  return new Forward(NR.reboot, a, text ?? Buffer.alloc(0));
};

export const attributes: Specials = {
  setxattrat: xattrAt(NR.setxattrat, false),
  getxattrat: xattrAt(NR.getxattrat, true),
  lsm_get_self_attr: lsm(NR.lsm_get_self_attr, 1),
  lsm_list_modules: lsm(NR.lsm_list_modules, 0),
  get_mempolicy: getMempolicy,
  set_mempolicy: setMempolicy,
  reboot,
};
