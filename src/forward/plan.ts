/** From a call of the program to what has to be done for it: one precompiled planner a row of the table. */
import { type Condition, syscallName, SYSCALL_END, SYSCALLS, type SyscallRow } from "../abi/mod.ts";
import { asInt, back, engine, LOCAL } from "./forward.ts";
import { compileRow } from "./generic.ts";
import { SPECIALS } from "./specials.ts";
import type { CallContext, DeputyArea, GuestMemory, Plan, Planner } from "./types.ts";

/** x32 calls carry this bit. */
const X32_BIT = 0x40000000;

const holds = (c: Condition, args: readonly bigint[]): boolean => (asInt(args[c.arg]) & c.mask) >>> 0 === c.equals >>> 0;

/** Whether the guest's own kernel may do this call: what its seccomp filter lets pass. */
export function isNative(row: SyscallRow, args: readonly bigint[]): boolean {
  if (row.native === undefined) return false;
  return row.native === "always" || row.native.some((all) => all.every((c) => holds(c, args)));
}

function plannerFor(row: SyscallRow): Planner {
  switch (row.route) {
    case "local":
      return () => LOCAL;
    case "home":
      return compileRow(row);
    case "engine": {
      const plan = engine(row.name);
      return () => plan;
    }
    case "back": {
      const plan = back(row.note ?? row.name);
      return () => plan;
    }
    case "special": {
      const special = SPECIALS[row.name];
      if (special === undefined) throw new RangeError(`no planner for ${row.name}`);
      const planner = typeof special === "function" ? special : special.over(compileRow(row));
      if (row.native === undefined) return planner;
      return (args, mem, area, ctx) => (isNative(row, args) ? LOCAL : planner(args, mem, area, ctx));
    }
  }
}

const PLANNERS: (Planner | undefined)[] = Array.from({ length: SYSCALL_END });
for (const row of SYSCALLS) PLANNERS[row.nr] = plannerFor(row);

/**
 * What to do for a call of the program. `args` are its six registers as unsigned 64-bit numbers; they stay untouched.
 * A number that the table does not know brings the process home: the kernel there may know it.
 */
export function planCall(nr: number, args: readonly bigint[], mem: GuestMemory, area: DeputyArea, ctx: CallContext): Plan {
  const planner = PLANNERS[nr];
  if (planner !== undefined) return planner(args, mem, area, ctx);
  return back(nr & X32_BIT ? "x32" : `unknown_call: ${syscallName(nr)}`);
}
