/** unshare(2) and setns(2): namespaces are the deputy's, as everything that the kernel knows of the process. */
import { CLONE, NR } from "../abi/mod.ts";
import { again, asInt, asUint, back, fdArg, finishPlain, Forward, NO_OUTS, EMPTY, six } from "./forward.ts";
import { type Specials, unless } from "./special.ts";
import type { Planner } from "./types.ts";

/** All but time, which the program reads without asking. New PID namespaces are for children, who are made at home. */
const AT_HOME =
  CLONE.FILES |
  CLONE.FS |
  CLONE.SYSVSEM |
  CLONE.NEWNS |
  CLONE.NEWUTS |
  CLONE.NEWIPC |
  CLONE.NEWNET |
  CLONE.NEWCGROUP |
  CLONE.NEWUSER |
  CLONE.NEWPID;
const TIME = back("time_namespace");
/** NS_GET_NSTYPE (linux/nsfs.h). */
const NS_GET_NSTYPE = 0xb703n;

/** Without a type, the namespace behind the descriptor tells it; a pidfd tells none, and needs one. */
const setns: Planner = (args, _mem, _area, ctx) => {
  const a = six(args);
  a[0] = fdArg(a[0], ctx);
  const type = asInt(a[1]);
  if (type & CLONE.NEWTIME) return TIME;
  const call = new Forward(NR.setns, a).waits();
  if (type !== 0) return call;
  return new Forward(NR.ioctl, [a[0], NS_GET_NSTYPE, 0n, 0n, 0n, 0n], EMPTY, NO_OUTS, (result) =>
    result <= -512n ? finishPlain(result) : again(Number(result) === CLONE.NEWTIME ? TIME : call),
  );
};

export const namespaces: Specials = {
  unshare: unless((args) => {
    const flags = asUint(args[0]);
    if (flags & CLONE.NEWTIME) return TIME;
    return (flags & ~AT_HOME) === 0 ? null : back("unshare");
  }),
  setns,
};
