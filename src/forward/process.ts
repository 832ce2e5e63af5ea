/** Calls on the process itself: signals to itself, limits, usage, prctl, scheduling, capabilities. */
import { CAP_DATA, CAP_HEADER, ERRNO, NR, RLIMIT, RUSAGE, RUSAGE_BUF, SCHED, SCHED_ATTR, SIGINFO, TMS } from "../abi/mod.ts";
import {
  asInt,
  asUint,
  back,
  BAD_ADDRESS,
  buffer,
  cannotWrite,
  done,
  EFAULT_RESULT,
  EMPTY,
  engine,
  Forward,
  six,
  tryRead,
  tryWrite,
} from "./forward.ts";
import { pointerCall } from "./fcntl.ts";
import { Layout } from "./layout.ts";
import { type Specials, unless } from "./special.ts";
import type { CallContext, OutRange, Plan, Planner } from "./types.ts";

/** A signal to the caller's own process has to be there when the call returns: the engine sees to it. Signal 0 only asks. */
const toItself = (name: string, target: number, signal: number, self: (ctx: CallContext) => number) => {
  const plan = engine(name);
  return unless((args, _mem, _area, ctx) => (asInt(args[target]) === self(ctx) && asInt(args[signal]) !== 0 ? plan : null));
};
const pid = (ctx: CallContext): number => ctx.pid;
const tid = (ctx: CallContext): number => ctx.tid;

/** Limits that the kernel applies where the memory and the CPU are. */
const GUEST_LIMITS: readonly number[] = [RLIMIT.AS, RLIMIT.DATA, RLIMIT.STACK, RLIMIT.MEMLOCK, RLIMIT.RTTIME];
const SETRLIMIT = engine("setrlimit");
const PRLIMIT = engine("prlimit64");
/** No kernel alone sees all the time that a process uses on several nodes. */
const CPU_LIMIT = back("cpu_limit");
const setter = (resource: number, plan: Plan): Plan | null =>
  resource === RLIMIT.CPU ? CPU_LIMIT : GUEST_LIMITS.includes(resource) ? plan : null;

const US = 1000n;
const SECOND_US = 1_000_000n;
/** Clock ticks of times(2) last 10 ms on x86-64. */
const TICK_NS = 10_000_000n;

/** Adds nanoseconds to a struct timeval. */
function addTimeval(bytes: Buffer, at: number, ns: bigint): void {
  const us = bytes.readBigInt64LE(at) * SECOND_US + bytes.readBigInt64LE(at + 8) + ns / US;
  bytes.writeBigInt64LE(us / SECOND_US, at);
  bytes.writeBigInt64LE(us % SECOND_US, at + 8);
}

const getrusage: Planner = (args, mem, area, ctx): Plan => {
  const plan = pointerCall(NR.getrusage, six(args), 1, 0, RUSAGE_BUF.size, mem, area);
  const who = asInt(args[0]);
  if ((who !== RUSAGE.SELF && who !== RUSAGE.THREAD) || plan.outs.length === 0) return plan;
  const inner = plan.finish;
  plan.finish = (result, out, memory) => {
    const away = result < 0n ? undefined : ctx.cpuAway?.(who === RUSAGE.SELF ? "self" : "thread");
    if (away === undefined) return inner(result, out, memory);
    const usage = Buffer.from(out);
    addTimeval(usage, RUSAGE_BUF.at.ru_utime, away.user);
    addTimeval(usage, RUSAGE_BUF.at.ru_stime, away.system);
    return inner(result, usage, memory);
  };
  return plan;
};

const times: Planner = (args, mem, area, ctx): Plan => {
  const plan = pointerCall(NR.times, six(args), 0, 0, TMS.size, mem, area);
  if (plan.outs.length === 0) return plan;
  const address = args[0] ?? 0n;
  // The result counts ticks since some time in the past, and may look negative: only EFAULT is an error.
  plan.finish = (result, out, memory) => {
    if (out.length < TMS.size) return done(result);
    const usage = Buffer.from(out);
    const away = ctx.cpuAway?.("self");
    if (away !== undefined) {
      usage.writeBigInt64LE(usage.readBigInt64LE(TMS.at.tms_utime) + away.user / TICK_NS, TMS.at.tms_utime);
      usage.writeBigInt64LE(usage.readBigInt64LE(TMS.at.tms_stime) + away.system / TICK_NS, TMS.at.tms_stime);
    }
    return done(tryWrite(memory, address, usage) ? result : EFAULT_RESULT);
  };
  return plan;
};

/** waitid writes its answer piecewise, and zeros on failure too; what it does not write stays as it was. */
const waitid: Planner = (args, mem, area): Plan => {
  const a = six(args);
  const layout = new Layout(area);
  const outs: OutRange[] = [];
  const [info, usage] = [args[2] ?? 0n, args[4] ?? 0n];
  const before = info === 0n || cannotWrite(mem, info, SIGINFO.size) ? null : tryRead(mem, info, SIGINFO.size);
  if (before !== null) {
    const offset = layout.put(before);
    a[2] = layout.address(offset);
    outs.push({ offset, length: SIGINFO.size, onError: true });
  } else if (info !== 0n) a[2] = BAD_ADDRESS;
  const infoSize = before === null ? 0 : SIGINFO.size;
  let usageSize = 0;
  if (usage !== 0n && !cannotWrite(mem, usage, RUSAGE_BUF.size)) {
    // Goes in as it is, because the kernel writes it only when it found a child.
    const offset = layout.put(tryRead(mem, usage, RUSAGE_BUF.size) ?? Buffer.alloc(RUSAGE_BUF.size));
    a[4] = layout.address(offset);
    usageSize = RUSAGE_BUF.size;
    outs.push({ offset, length: usageSize });
  } else if (usage !== 0n) a[4] = BAD_ADDRESS;
  return new Forward(NR.waitid, a, layout.blob(), outs, (result, out, memory) => {
    // Interrupted: the call goes on, or ends without an answer.
    if (result <= -512n || result === BigInt(-ERRNO.EINTR)) return done(result);
    const ok =
      (infoSize === 0 || out.length < infoSize || tryWrite(memory, info, out.subarray(0, infoSize))) &&
      (usageSize === 0 || result < 0n || tryWrite(memory, usage, out.subarray(infoSize, infoSize + usageSize)));
    return done(ok ? result : EFAULT_RESULT);
  }).waits();
};

const VERSION_1 = 0x19980330;
const VERSIONS_2: readonly number[] = [0x20071026, 0x20080522];

/** capget, capset: the header's version tells how many words follow; an unknown version is answered with a known one. */
const capabilities =
  (nr: number): Planner =>
  (args, mem, area): Plan => {
    const a = six(args);
    const layout = new Layout(area);
    const [headAt, dataAt] = [args[0] ?? 0n, args[1] ?? 0n];
    const head = tryRead(mem, headAt, CAP_HEADER.size);
    if (head === null) {
      a[0] = BAD_ADDRESS;
      return new Forward(nr, a);
    }
    const headOffset = layout.put(head);
    a[0] = layout.address(headOffset);
    const version = head.readUInt32LE(0);
    const length = version === VERSION_1 ? CAP_DATA.size : VERSIONS_2.includes(version) ? CAP_DATA.size * 2 : 0;
    const outs: OutRange[] = [{ offset: headOffset, length: 4, onError: true }];
    const get = nr === NR.capget;
    if (dataAt !== 0n && length > 0) {
      const bytes = get ? EMPTY : tryRead(mem, dataAt, length);
      if (bytes === null || (get && cannotWrite(mem, dataAt, length))) a[1] = BAD_ADDRESS;
      else {
        const offset = get ? layout.room(length) : layout.put(bytes);
        a[1] = layout.address(offset);
        if (get) outs.push({ offset, length });
      }
    } else if (dataAt !== 0n) a[1] = BAD_ADDRESS;
    return new Forward(nr, a, layout.blob(), outs, (result, out, memory) => {
      const told = buffer(out).readUInt32LE(0) !== version;
      const ok = (!told || tryWrite(memory, headAt, out.subarray(0, 4))) && (result < 0n || tryWrite(memory, dataAt, out.subarray(4)));
      return done(ok ? result : EFAULT_RESULT);
    });
  };

const REALTIME: readonly number[] = [SCHED.FIFO, SCHED.RR, SCHED.DEADLINE];
const BECOMES_REALTIME = back("realtime");
const isOwn = (target: number, ctx: CallContext): boolean => target === 0 || target === ctx.pid || target === ctx.tid;

const QUERY = 0xffffffff;
/** ADDR_NO_RANDOMIZE, UNAME26, SHORT_INODE, STICKY_TIMEOUTS, WHOLE_SECONDS (linux/personality.h). */
const PERSONALITY_AT_HOME = 0x0040000 | 0x0020000 | 0x1000000 | 0x4000000 | 0x2000000;

export const processes: Specials = {
  kill: toItself("kill", 0, 1, pid),
  tkill: toItself("tkill", 0, 1, tid),
  tgkill: toItself("tgkill", 0, 2, pid),
  rt_sigqueueinfo: toItself("rt_sigqueueinfo", 0, 1, pid),
  rt_tgsigqueueinfo: toItself("rt_tgsigqueueinfo", 0, 2, pid),
  setrlimit: unless((args) => setter(asInt(args[0]), SETRLIMIT)),
  prlimit64: unless((args, _mem, _area, ctx) => (args[2] !== 0n && isOwn(asInt(args[0]), ctx) ? setter(asInt(args[1]), PRLIMIT) : null)),
  getrusage,
  times,
  waitid,
  capget: capabilities(NR.capget),
  capset: capabilities(NR.capset),
  sched_setscheduler: unless((args, _mem, _area, ctx) =>
    REALTIME.includes(asInt(args[1]) & ~SCHED.RESET_ON_FORK) && isOwn(asInt(args[0]), ctx) ? BECOMES_REALTIME : null,
  ),
  sched_setattr: unless((args, mem, _area, ctx) => {
    const attr = tryRead(mem, args[1] ?? 0n, SCHED_ATTR.at.sched_flags);
    const policy = attr?.readUInt32LE(SCHED_ATTR.at.sched_policy) ?? 0;
    return REALTIME.includes(policy) && isOwn(asInt(args[0]), ctx) ? BECOMES_REALTIME : null;
  }),
  personality: unless((args) => {
    const wanted = asUint(args[0]);
    return wanted === QUERY || (wanted & ~PERSONALITY_AT_HOME) === 0 ? null : back("personality");
  }),
};
