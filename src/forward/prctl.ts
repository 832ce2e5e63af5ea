/** prctl(2) and arch_prctl(2), operation by operation. */
import { NR, PR } from "../abi/mod.ts";
import { asInt, back, BAD_ADDRESS, engine, Forward, LOCAL, six, TOO_BIG } from "./forward.ts";
import { pointerCall } from "./fcntl.ts";
import type { Specials } from "./special.ts";
import { readString } from "./strings.ts";
import type { Plan, Planner } from "./types.ts";

/** Numbers in, a number out: the deputy's own state, which is the process's. */
const NUMBERS = new Set<number>([
  PR.SET_PDEATHSIG,
  PR.GET_DUMPABLE,
  PR.SET_DUMPABLE,
  PR.GET_KEEPCAPS,
  PR.SET_KEEPCAPS,
  PR.GET_SECCOMP,
  PR.CAPBSET_READ,
  PR.CAPBSET_DROP,
  PR.GET_SECUREBITS,
  PR.SET_SECUREBITS,
  PR.SET_TIMERSLACK,
  PR.GET_TIMERSLACK,
  PR.MCE_KILL,
  PR.MCE_KILL_GET,
  PR.SET_CHILD_SUBREAPER,
  PR.SET_NO_NEW_PRIVS,
  PR.GET_NO_NEW_PRIVS,
  PR.CAP_AMBIENT,
  PR.GET_SPECULATION_CTRL,
  PR.GET_IO_FLUSHER,
  PR.GET_THP_DISABLE,
  PR.GET_MDWE,
  PR.GET_MEMORY_MERGE,
  PR.SET_PTRACER,
  PR.GET_TIMING,
  PR.SET_TIMING,
  PR.TASK_PERF_EVENTS_DISABLE,
  PR.TASK_PERF_EVENTS_ENABLE,
  PR.SET_IO_FLUSHER,
  // Advice about memory, which it takes along when it goes home.
  PR.SET_THP_DISABLE,
  PR.SET_MEMORY_MERGE,
]);

/** A pointer as the second argument that the kernel fills. */
const OUTPUTS = new Map<number, number>([
  [PR.GET_PDEATHSIG, 4],
  [PR.GET_TSC, 4],
  [PR.GET_CHILD_SUBREAPER, 4],
  [PR.GET_NAME, 16],
]);

const NAME_SIZE = 16;
const AUXV_MOST = 4096;
/** The kernel keeps it with the thread's memory, which is at the guest. */
const TID_ADDRESS = engine("prctl");

const prctl: Planner = (args, mem, area): Plan => {
  const operation = asInt(args[0]);
  const a = six(args);
  if (NUMBERS.has(operation)) return new Forward(NR.prctl, a);
  const output = OUTPUTS.get(operation);
  if (output !== undefined) return pointerCall(NR.prctl, a, 1, 0, output, mem, area);
  switch (operation) {
    case PR.SET_NAME: {
      const name = readString(mem, a[1] ?? 0n, NAME_SIZE);
      a[1] = name === null ? BAD_ADDRESS : area.base;
      return new Forward(NR.prctl, a, name ?? Buffer.alloc(0));
    }
    case PR.GET_AUXV: {
      const size = Number(a[2] ?? 0n);
      if (size > AUXV_MOST) return TOO_BIG;
      return pointerCall(NR.prctl, a, 1, size, size, mem, area);
    }
    case PR.GET_TID_ADDRESS:
      return TID_ADDRESS;
    // Names for areas of memory: seen in /proc only, where the memory is.
    case PR.SET_VMA:
      return LOCAL;
    default:
      return back(`prctl: ${operation}`);
  }
};

export const prctls: Specials = {
  prctl,
  arch_prctl: (args) => back(`arch_prctl: 0x${(args[0] ?? 0n).toString(16)}`),
  get_robust_list: () => back("get_robust_list"),
};
