/** Calls that their arguments describe completely: the row of the table is compiled to a planner once. */
import { PATH_MAX, type Size, type SyscallRow } from "../abi/mod.ts";
import {
  asInt,
  BAD_ADDRESS,
  cannotWrite,
  done,
  EFAULT_RESULT,
  EMPTY,
  fdArg,
  Forward,
  NO_OUTS,
  outLengths,
  six,
  TOO_BIG,
  tryRead,
  tryWrite,
} from "./forward.ts";
import { Layout } from "./layout.ts";
import { readString } from "./strings.ts";
import type { Finish, FinishResult, GuestMemory, OutRange, Planner } from "./types.ts";

/** Bytes behind a pointer in this call. */
export function sizeOf(size: Size, args: readonly bigint[]): number {
  if (typeof size === "number") return size;
  const register = args[size.arg] ?? 0n;
  return (size.bits === 32 ? Number(BigInt.asUintN(32, register)) : Number(register)) * size.unit;
}

interface OutArg {
  readonly index: number;
  readonly size: Size;
  readonly limit: boolean;
  readonly unit: number;
  readonly positive: boolean;
  readonly always: boolean;
}

/** What goes in through argument `index`: its bytes, `null` for a bad pointer, `undefined` when its size alone makes the kernel refuse it. */
type Fetch = (args: readonly bigint[], address: bigint, mem: GuestMemory) => Uint8Array | null | undefined;

function fetcher(row: SyscallRow, index: number): Fetch | null {
  const a = row.args[index];
  switch (a?.kind) {
    case "path":
      return (_, p, mem) => readString(mem, p, PATH_MAX);
    case "string":
      return (_, p, mem) => readString(mem, p, a.max);
    case "page":
      return (_, p, mem) => {
        const bytes = mem.readUpTo(p, PATH_MAX);
        return bytes.length === 0 ? null : Buffer.concat([bytes], PATH_MAX);
      };
    case "in":
      return (args, p, mem) => {
        const n = sizeOf(a.size, args);
        return n > a.max ? undefined : n === 0 ? EMPTY : tryRead(mem, p, n);
      };
    case "inout":
      return (args, p, mem) => tryRead(mem, p, sizeOf(a.size, args));
    case "sized":
      return (_, p, mem) => {
        const n = tryRead(mem, p, 4)?.readUInt32LE(0);
        if (n === undefined) return null;
        return n > a.max ? Buffer.concat([tryRead(mem, p, a.min) ?? EMPTY], a.min) : tryRead(mem, p, Math.max(n, a.min));
      };
    default:
      return null;
  }
}

function outArgs(row: SyscallRow): OutArg[] {
  return row.args.flatMap((a, index): OutArg[] => {
    if (a.kind === "out") return [{ index, size: a.size, limit: a.limit, unit: a.unit, positive: a.positive, always: a.always }];
    if (a.kind === "inout") return [{ index, size: a.size, limit: false, unit: 1, positive: false, always: a.always }];
    return [];
  });
}

/** A place in the program's memory that gets what came out. */
export interface Target {
  readonly address: bigint;
  readonly positive: boolean;
}

/** Writes each range to its target. */
export function finishTargets(targets: readonly Target[], outs: readonly OutRange[]): Finish {
  return (result, bytes, mem): FinishResult => {
    const lengths = outLengths(outs, result);
    let at = 0;
    for (let i = 0; i < targets.length; i++) {
      const n = lengths[i] ?? 0;
      const target = targets[i];
      if (
        n > 0 &&
        target !== undefined &&
        !(target.positive && result <= 0n) &&
        !tryWrite(mem, target.address, bytes.subarray(at, at + n))
      ) {
        return done(EFAULT_RESULT);
      }
      at += n;
    }
    return done(result);
  };
}

export function compileRow(row: SyscallRow): Planner {
  const fds = row.args.flatMap((a, i) => (a.kind === "fd" || a.kind === "dirfd" ? [i] : []));
  const ins = row.args.flatMap((_, index) => {
    const fetch = fetcher(row, index);
    return fetch === null ? [] : [{ index, fetch }];
  });
  const outs = outArgs(row);
  const { nr, blocking, restartOnEintr } = row;
  const flagged = (plan: Forward): Forward => {
    plan.blocking = blocking;
    plan.restartOnEintr = restartOnEintr;
    return plan;
  };

  if (ins.length === 0 && outs.length === 0) {
    return (args, _mem, _area, ctx) => {
      const a = six(args);
      for (const i of fds) a[i] = fdArg(a[i], ctx);
      return flagged(new Forward(nr, a, EMPTY, NO_OUTS));
    };
  }

  return (args, mem, area, ctx) => {
    const a = six(args);
    for (const i of fds) a[i] = fdArg(a[i], ctx);
    const layout = new Layout(area);
    const offsets: number[] = [];
    for (const { index, fetch } of ins) {
      const p = args[index] ?? 0n;
      if (p === 0n) continue;
      const bytes = fetch(args, p, mem);
      if (bytes === null || bytes === undefined) {
        a[index] = BAD_ADDRESS;
        continue;
      }
      const at = layout.put(bytes);
      offsets[index] = at;
      a[index] = layout.address(at);
    }
    const targets: Target[] = [];
    const ranges: OutRange[] = [];
    for (const o of outs) {
      const p = args[o.index] ?? 0n;
      if (p === 0n || a[o.index] === BAD_ADDRESS) continue;
      const length = sizeOf(o.size, args);
      if (cannotWrite(mem, p, length)) {
        a[o.index] = BAD_ADDRESS;
        continue;
      }
      const offset = offsets[o.index] ?? layout.room(length);
      a[o.index] = layout.address(offset);
      targets.push({ address: p, positive: o.positive });
      ranges.push(outRange(offset, length, o.limit, o.unit, o.always));
    }
    if (layout.full) return TOO_BIG;
    return flagged(new Forward(nr, a, layout.blob(), ranges, targets.length === 0 ? done : finishTargets(targets, ranges)));
  };
}

export function outRange(offset: number, length: number, limit = false, unit = 1, onError = false): OutRange {
  if (limit) return { offset, length, limit: "return", unit };
  return onError ? { offset, length, onError } : { offset, length };
}

/** Argument `n` as an int, for handlers. */
export const intArg = (args: readonly bigint[], n: number): number => asInt(args[n]);
