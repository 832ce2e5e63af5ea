/** System V and POSIX message queues and semaphores: they live at home, as their names do. */
import { IPC, MSGINFO, MSGQ, MSQID_DS, NR, SEM, SEMBUF, SEMID_DS, SEMINFO, SIGEV, SIGEVENT, TIMESPEC } from "../abi/mod.ts";
import {
  again,
  asInt,
  asUint,
  back,
  BAD_ADDRESS,
  buffer,
  cannotWrite,
  done,
  EFAULT_RESULT,
  EMPTY,
  fdArg,
  Forward,
  six,
  TOO_BIG,
  tryRead,
  tryWrite,
} from "./forward.ts";
import { pointerCall } from "./fcntl.ts";
import { Layout } from "./layout.ts";
import { type Specials, unless } from "./special.ts";
import type { DeputyArea, GuestMemory, OutRange, Plan, Planner, Timeout } from "./types.ts";

const MTYPE = 8;
const TEXT_SIZE_NEGATIVE = 1n << 63n;

/** msgsnd(id, {long type; text}, size, flags). */
const msgsnd: Planner = (args, mem, area): Plan => {
  const a = six(args);
  const size = args[2] ?? 0n;
  if (size < TEXT_SIZE_NEGATIVE && Number(size) + MTYPE > area.size) return TOO_BIG;
  const bytes = size >= TEXT_SIZE_NEGATIVE ? null : tryRead(mem, a[1] ?? 0n, MTYPE + Number(size));
  // A type that can be read and a text that cannot: the kernel refuses a bad size or type before it reads the text.
  const type = bytes ?? tryRead(mem, a[1] ?? 0n, MTYPE);
  if (type === null || (bytes === null && size < TEXT_SIZE_NEGATIVE)) a[1] = BAD_ADDRESS;
  else a[1] = area.base;
  return new Forward(NR.msgsnd, a, a[1] === BAD_ADDRESS ? EMPTY : (type ?? EMPTY)).waits(true);
};

const msgrcv: Planner = (args, mem, area): Plan => {
  const a = six(args);
  const size = args[2] ?? 0n;
  const address = a[1] ?? 0n;
  if (size >= TEXT_SIZE_NEGATIVE) {
    a[1] = BAD_ADDRESS;
    return new Forward(NR.msgrcv, a);
  }
  const length = Number(size);
  if (length + MTYPE > area.size) return TOO_BIG;
  if (cannotWrite(mem, address, MTYPE + length)) {
    a[1] = BAD_ADDRESS;
    return new Forward(NR.msgrcv, a).waits(true);
  }
  a[1] = area.base;
  const outs: OutRange[] = [
    { offset: 0, length: MTYPE },
    { offset: MTYPE, length, limit: "return" },
  ];
  return new Forward(NR.msgrcv, a, EMPTY, outs, (result, out, memory) =>
    done(result >= 0n && !tryWrite(memory, address, out) ? EFAULT_RESULT : result),
  ).waits(true);
};

/** Commands of one control call: what stands behind the pointer. */
type Control = "none" | { readonly in?: number; readonly out?: number };
const MSG_CONTROLS = new Map<number, Control>([
  [IPC.RMID, "none"],
  [IPC.STAT, { out: MSQID_DS.size }],
  [IPC.SET, { in: MSQID_DS.size }],
  [IPC.INFO, { out: MSGINFO.size }],
  [MSGQ.INFO, { out: MSGINFO.size }],
  [MSGQ.STAT, { out: MSQID_DS.size }],
  [MSGQ.STAT_ANY, { out: MSQID_DS.size }],
]);
const SEM_CONTROLS = new Map<number, Control>([
  [IPC.RMID, "none"],
  [IPC.STAT, { out: SEMID_DS.size }],
  [IPC.SET, { in: SEMID_DS.size }],
  [IPC.INFO, { out: SEMINFO.size }],
  [SEM.SEM_INFO, { out: SEMINFO.size }],
  [SEM.SEM_STAT, { out: SEMID_DS.size }],
  [SEM.SEM_STAT_ANY, { out: SEMID_DS.size }],
  [SEM.GETPID, "none"],
  [SEM.GETVAL, "none"],
  [SEM.GETNCNT, "none"],
  [SEM.GETZCNT, "none"],
  [SEM.SETVAL, "none"],
]);

function control(nr: number, a: bigint[], pointer: number, shape: Control, mem: GuestMemory, area: DeputyArea): Plan {
  if (shape === "none") return new Forward(nr, a);
  return pointerCall(nr, a, pointer, shape.in ?? 0, shape.out ?? 0, mem, area);
}

const msgctl: Planner = (args, mem, area): Plan => {
  const shape = MSG_CONTROLS.get(asInt(args[1]));
  return shape === undefined ? back(`msgctl: ${asInt(args[1])}`) : control(NR.msgctl, six(args), 2, shape, mem, area);
};

const semctl: Planner = (args, mem, area): Plan => {
  const command = asInt(args[2]);
  if (command === SEM.GETALL || command === SEM.SETALL) return allValues(args, command, area);
  const shape = SEM_CONTROLS.get(command);
  return shape === undefined ? back(`semctl: ${command}`) : control(NR.semctl, six(args), 3, shape, mem, area);
};

/** GETALL and SETALL move one 16-bit value a semaphore: how many there are is asked first. */
function allValues(args: readonly bigint[], command: number, area: DeputyArea): Plan {
  const a = six(args);
  const stat = [a[0] ?? 0n, 0n, BigInt(IPC.STAT), area.base, 0n, 0n];
  return new Forward(NR.semctl, stat, EMPTY, [{ offset: 0, length: SEMID_DS.size }], (result, out, mem) => {
    if (result < 0n) return done(result);
    const size = Number(buffer(out).readBigUInt64LE(SEMID_DS.at.sem_nsems)) * 2;
    if (size > area.size) return again(TOO_BIG);
    const get = command === SEM.GETALL;
    return again(pointerCall(NR.semctl, a, 3, get ? 0 : size, get ? size : 0, mem, area));
  });
}

/** The kernel refuses more operations than this whatever fs.sem says (SEMOPM is an int). */
const MAX_OPS = 10_000;

const semtimedop: Planner = (args, mem, area): Plan => {
  const a = six(args);
  const layout = new Layout(area);
  const count = asUint(a[2]);
  const ops = count > MAX_OPS ? null : tryRead(mem, a[1] ?? 0n, count * SEMBUF.size);
  a[1] = ops === null ? BAD_ADDRESS : layout.putAt(ops);
  const timeout = putDeadline(a, 3, layout, mem, true);
  const plan = new Forward(NR.semtimedop, a, layout.blob()).waits(true);
  if (timeout) plan.timeout = timeout;
  return plan;
};

/** Places a time limit that goes in only. */
function putDeadline(a: bigint[], index: number, layout: Layout, mem: GuestMemory, relative: boolean): Timeout | null {
  if (a[index] === 0n) return null;
  const time = tryRead(mem, a[index] ?? 0n, TIMESPEC.size);
  if (time === null) {
    a[index] = BAD_ADDRESS;
    return null;
  }
  const areaOffset = layout.put(time);
  a[index] = layout.address(areaOffset);
  return { kind: "timespec", relative, areaOffset };
}

const mqSend: Planner = (args, mem, area, ctx): Plan => {
  const a = six(args);
  a[0] = fdArg(a[0], ctx);
  const layout = new Layout(area);
  const timeout = putDeadline(a, 4, layout, mem, false);
  const length = Number(a[2] ?? 0n);
  // Queues take far shorter messages: the kernel says EMSGSIZE by the length alone.
  const text = length > layout.left ? EMPTY : tryRead(mem, a[1] ?? 0n, length);
  a[1] = text === null ? BAD_ADDRESS : layout.putAt(text);
  const plan = new Forward(NR.mq_timedsend, a, layout.blob()).waits();
  if (timeout) plan.timeout = timeout;
  return plan;
};

const mqReceive: Planner = (args, mem, area, ctx): Plan => {
  const a = six(args);
  a[0] = fdArg(a[0], ctx);
  const layout = new Layout(area);
  const timeout = putDeadline(a, 4, layout, mem, false);
  const [address, priority] = [args[1] ?? 0n, args[3] ?? 0n];
  const outs: OutRange[] = [];
  const withPriority = priority !== 0n && !cannotWrite(mem, priority, 4);
  if (priority !== 0n) {
    const offset = layout.room(4);
    a[3] = withPriority ? layout.address(offset) : BAD_ADDRESS;
    if (withPriority) outs.push({ offset, length: 4 });
  }
  // A buffer larger than any message is the same to the queue.
  const length = Math.min(Number(a[2] ?? 0n), layout.left);
  a[2] = BigInt(length);
  if (cannotWrite(mem, address, length)) a[1] = BAD_ADDRESS;
  else {
    const offset = layout.room(length);
    a[1] = layout.address(offset);
    outs.push({ offset, length, limit: "return" });
  }
  const skip = withPriority ? 4 : 0;
  const plan = new Forward(NR.mq_timedreceive, a, layout.blob(), outs, (result, out, memory) => {
    if (result < 0n) return done(result);
    const ok = tryWrite(memory, address, out.subarray(skip)) && (skip === 0 || tryWrite(memory, priority, out.subarray(0, skip)));
    return done(ok ? result : EFAULT_RESULT);
  }).waits();
  if (timeout) plan.timeout = timeout;
  return plan;
};

/** SIGEV_THREAD hands the kernel a pointer and a netlink socket: glibc's own business, done at home. */
const mqNotify = unless((args, mem) => {
  const event = args[1] === 0n ? null : tryRead(mem, args[1] ?? 0n, SIGEVENT.size);
  return event !== null && event.readInt32LE(SIGEVENT.at.sigev_notify) === SIGEV.THREAD ? back("mq_notify_thread") : null;
});

export const ipcs: Specials = {
  msgsnd,
  msgrcv,
  msgctl,
  semctl,
  semtimedop,
  mq_timedsend: mqSend,
  mq_timedreceive: mqReceive,
  mq_notify: mqNotify,
};
