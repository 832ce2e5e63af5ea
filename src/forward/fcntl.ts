/** fcntl(2), command by command. */
import { F, F_OWNER_EX, FLOCK, NR } from "../abi/mod.ts";
import { asInt, back, BAD_ADDRESS, cannotWrite, done, EFAULT_RESULT, fdArg, Forward, six, tryRead, tryWrite } from "./forward.ts";
import type { Specials } from "./special.ts";
import type { Plan, Planner } from "./types.ts";

type Shape = "int" | "fd" | { readonly in?: number; readonly out?: number; readonly waits?: boolean };

const lock: Shape = { in: FLOCK.size };
const lockWait: Shape = { in: FLOCK.size, waits: true };
const lockQuery: Shape = { in: FLOCK.size, out: FLOCK.size };
const HINT = 8;
const UIDS = 8;
const DELEG = 8;

const COMMANDS = new Map<number, Shape>([
  [F.DUPFD, "int"],
  [F.DUPFD_CLOEXEC, "int"],
  [F.DUPFD_QUERY, "fd"],
  [F.CREATED_QUERY, "int"],
  [F.GETFD, "int"],
  [F.SETFD, "int"],
  [F.GETFL, "int"],
  [F.SETFL, "int"],
  [F.GETLK, lockQuery],
  [F.SETLK, lock],
  [F.SETLKW, lockWait],
  [F.OFD_GETLK, lockQuery],
  [F.OFD_SETLK, lock],
  [F.OFD_SETLKW, lockWait],
  [F.CANCELLK, lock],
  [F.SETOWN, "int"],
  [F.GETOWN, "int"],
  [F.SETSIG, "int"],
  [F.GETSIG, "int"],
  [F.SETOWN_EX, { in: F_OWNER_EX.size }],
  [F.GETOWN_EX, { out: F_OWNER_EX.size }],
  [F.GETOWNER_UIDS, { out: UIDS }],
  [F.SETLEASE, "int"],
  [F.GETLEASE, "int"],
  [F.GETDELEG, { in: DELEG, out: DELEG }],
  [F.SETDELEG, { in: DELEG }],
  [F.NOTIFY, "int"],
  [F.SETPIPE_SZ, "int"],
  [F.GETPIPE_SZ, "int"],
  [F.ADD_SEALS, "int"],
  [F.GET_SEALS, "int"],
  [F.GET_RW_HINT, { out: HINT }],
  [F.SET_RW_HINT, { in: HINT }],
  [F.GET_FILE_RW_HINT, { out: HINT }],
  [F.SET_FILE_RW_HINT, { in: HINT }],
]);

/** A pointer to `in` bytes that are read and `out` bytes that are written, both at the same place. */
export function pointerCall(
  nr: number,
  a: bigint[],
  index: number,
  input: number,
  output: number,
  ...[mem, area]: [Parameters<Planner>[1], Parameters<Planner>[2]]
): Forward {
  const address = a[index] ?? 0n;
  if (address === 0n) return new Forward(nr, a);
  const bytes = input > 0 ? tryRead(mem, address, input) : Buffer.alloc(0);
  if (bytes === null || (output > 0 && cannotWrite(mem, address, output))) {
    a[index] = BAD_ADDRESS;
    return new Forward(nr, a);
  }
  a[index] = area.base;
  if (output === 0) return new Forward(nr, a, bytes);
  return new Forward(nr, a, bytes, [{ offset: 0, length: output }], (result, out, memory) =>
    done(result >= 0n && !tryWrite(memory, address, out) ? EFAULT_RESULT : result),
  );
}

const fcntl: Planner = (args, mem, area, ctx): Plan => {
  const command = asInt(args[1]);
  const shape = COMMANDS.get(command);
  if (shape === undefined) return back(`fcntl: ${command}`);
  const a = six(args);
  a[0] = fdArg(a[0], ctx);
  if (shape === "int") return new Forward(NR.fcntl, a);
  if (shape === "fd") {
    a[2] = fdArg(a[2], ctx);
    return new Forward(NR.fcntl, a);
  }
  const plan = pointerCall(NR.fcntl, a, 2, shape.in ?? 0, shape.out ?? 0, mem, area);
  return shape.waits ? plan.waits() : plan;
};

export const fcntls: Specials = { fcntl };
