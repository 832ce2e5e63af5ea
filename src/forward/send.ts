/** sendto(2), sendmsg(2), sendmmsg(2). */
import { MMSGHDR, MSG, NR, SOCKADDR_STORAGE, UIO_MAXIOV } from "../abi/mod.ts";
import {
  again,
  answer,
  asInt,
  asSize,
  asUint,
  back,
  BAD_ADDRESS,
  done,
  EFAULT_RESULT,
  EMPTY,
  fdArg,
  Forward,
  isBad,
  six,
  TOO_BIG,
  tryRead,
  tryWrite,
} from "./forward.ts";
import { Layout } from "./layout.ts";
import { buildHeader, type Message, putControl, putName, putRefused, readMessage } from "./message.ts";
import { probeSocket } from "./probe.ts";
import { iovecs, Segments } from "./segments.ts";
import type { Specials } from "./special.ts";
import type { CallContext, DeputyArea, FinishResult, GuestMemory, Plan, Planner } from "./types.ts";

/** The kernel would send from the deputy's buffer later, when it holds something else. */
const ZEROCOPY = back("msg_zerocopy");
const BIG_MESSAGE = back("big_message");
/** Room for a header, a name and 1024 iovecs is kept beside the data of a large message. */
const BESIDE = 24 * 1024;

/** Everything of a message but its data, which is `segments` cut to what this call carries. */
function sendPart(
  fd: bigint,
  flags: bigint,
  m: Message,
  segments: Segments | null,
  first: boolean,
  mem: GuestMemory,
  area: DeputyArea,
  ctx: CallContext,
): Plan {
  const layout = new Layout(area);
  const name = putName(m, layout, mem);
  const control = first ? putControl(m, layout, mem, ctx) : 0n;
  const controlLength = first ? m.controlLength : 0;
  let vector: { iov: bigint; count: bigint };
  if (segments === null) vector = putRefused(m, layout);
  else vector = putData(segments, layout, mem);
  const header = buildHeader(m, { name, nameLength: m.name === 0n ? 0 : m.nameLength, ...vector, control, controlLength });
  const at = layout.putAt(header);
  if (layout.full) return TOO_BIG;
  return new Forward(NR.sendmsg, [fd, at, flags, 0n, 0n, 0n], layout.blob()).waits(true);
}

/** Data and the iovecs over it; what cannot be read becomes an element with a bad address. */
function putData(segments: Segments, layout: Layout, mem: GuestMemory): { iov: bigint; count: bigint } {
  if (segments.total > layout.left) {
    layout.full = true;
    return { iov: 0n, count: 0n };
  }
  const data = segments.gather(mem);
  const readable = data.length === segments.total ? segments : segments.slice(0, data.length);
  let array = iovecs(readable, layout.putAt(data));
  if (data.length < segments.total) {
    const rest = Buffer.alloc(16);
    rest.writeBigUInt64LE(BAD_ADDRESS, 0);
    rest.writeBigUInt64LE(BigInt(segments.total - data.length), 8);
    array = Buffer.concat([array, rest]);
  }
  return { iov: array.length === 0 ? 0n : layout.putAt(array), count: BigInt(array.length / 16) };
}

/** One message: at once where it fits; in pieces on a stream; nowhere away where its bounds matter. */
function send(fd: bigint, flags: bigint, m: Message, mem: GuestMemory, area: DeputyArea, ctx: CallContext): Plan {
  const { segments } = m;
  const beside = BESIDE + Math.min(m.controlLength, area.size);
  if (segments === null || segments.total + beside <= area.size) return sendPart(fd, flags, m, segments, true, mem, area, ctx);
  const room = area.size - beside;
  if (room < BESIDE) return TOO_BIG;
  return probeSocket(fd, area, (kind) => again(kind === "message" ? BIG_MESSAGE : piece(0)));

  function piece(before: number): Plan {
    const all = segments as Segments;
    const part = all.slice(before, Math.min(room, all.total - before));
    const plan = sendPart(fd, flags, m, part, before === 0, mem, area, ctx);
    if (plan.kind !== "forward") return plan;
    return new Forward(plan.nr, plan.args, plan.blob, [], (result): FinishResult => {
      if (result <= 0n) return done(before > 0 ? BigInt(before) : result);
      const total = before + Number(result);
      return Number(result) < part.total || total === all.total ? done(BigInt(total)) : again(piece(total));
    }).waits(true);
  }
}

const sendmsg: Planner = (args, mem, area, ctx): Plan => {
  const fd = fdArg(args[0], ctx);
  const flags = args[2] ?? 0n;
  if (asInt(flags) & MSG.ZEROCOPY) return ZEROCOPY;
  const m = readMessage(mem, args[1] ?? 0n);
  if (m === null) return new Forward(NR.sendmsg, [fd, BAD_ADDRESS, flags, 0n, 0n, 0n]);
  return send(fd, flags, m, mem, area, ctx);
};

/** The arguments of sendto as a message. */
const asMessage = (args: readonly bigint[], length: number): Message => ({
  address: 0n,
  name: args[4] ?? 0n,
  nameLength: asInt(args[5]),
  control: 0n,
  controlLength: 0,
  flags: 0,
  segments: Segments.one(args[1] ?? 0n, length),
  refusedArray: null,
  iovCount: 1n,
});

const sendto: Planner = (args, mem, area, ctx): Plan => {
  if (asInt(args[3]) & MSG.ZEROCOPY) return ZEROCOPY;
  const a = six(args);
  a[0] = fdArg(a[0], ctx);
  const address = a[1] ?? 0n;
  const n = asSize(a[2]);
  const nameLength = asInt(a[5]);
  const named = a[4] !== 0n;
  const refused = (n > 0 && isBad(address, n)) || (named && (nameLength < 0 || nameLength > SOCKADDR_STORAGE.size));
  if (!refused && n + BESIDE > area.size) return send(a[0], a[3] ?? 0n, asMessage(args, n), mem, area, ctx);
  const data = n === 0 ? EMPTY : refused ? null : tryRead(mem, address, n);
  if (data === null && !refused) return send(a[0], a[3] ?? 0n, asMessage(args, n), mem, area, ctx);
  const layout = new Layout(area);
  a[1] = data === null ? BAD_ADDRESS : layout.putAt(data);
  if (named) {
    const name = nameLength < 0 || nameLength > SOCKADDR_STORAGE.size ? null : tryRead(mem, a[4] ?? 0n, nameLength);
    a[4] = name === null ? BAD_ADDRESS : layout.putAt(name);
  }
  return new Forward(NR.sendto, a, layout.blob()).waits(true);
};

/** Messages one after the other: what counts is how many went out before the first that failed. */
const sendmmsg: Planner = (args, mem, area, ctx): Plan => {
  const flags = args[3] ?? 0n;
  if (asInt(flags) & MSG.ZEROCOPY) return ZEROCOPY;
  const fd = fdArg(args[0], ctx);
  const count = Math.min(asUint(args[2]), UIO_MAXIOV);
  const at = (i: number): bigint => (args[1] ?? 0n) + BigInt(i * MMSGHDR.size);
  if (count === 0) return new Forward(NR.sendmmsg, [fd, area.base, 0n, flags, 0n, 0n]);
  return message(0, mem);

  function message(i: number, memory: GuestMemory): Plan {
    const m = readMessage(memory, at(i));
    if (m === null) return i > 0 ? answer(BigInt(i)) : new Forward(NR.sendmsg, [fd, BAD_ADDRESS, flags, 0n, 0n, 0n]);
    return counted(send(fd, flags, m, memory, area, ctx), i);
  }

  /** The same plan, with its end turned into the message's length and the next message. */
  function counted(plan: Plan, i: number): Plan {
    if (plan.kind === "answer") return answer(i > 0 ? BigInt(i) : plan.result);
    if (plan.kind !== "forward") return plan.kind === "back" && i > 0 ? answer(BigInt(i)) : plan;
    const inner = plan.finish;
    const wrapped = new Forward(plan.nr, plan.args, plan.blob, plan.outs, (result, out, memory): FinishResult => {
      const next = inner(result, out, memory);
      if ("again" in next) return again(counted(next.again, i));
      if (next.done < 0n) return done(i > 0 ? BigInt(i) : next.done);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(Number(next.done), 0);
      if (!tryWrite(memory, at(i) + BigInt(MMSGHDR.at.msg_len), length)) return done(i > 0 ? BigInt(i) : EFAULT_RESULT);
      return i + 1 === count ? done(BigInt(count)) : again(message(i + 1, memory));
    });
    wrapped.blocking = plan.blocking;
    wrapped.restartOnEintr = plan.restartOnEintr;
    return wrapped;
  }
};

export const sends: Specials = { sendto, sendmsg, sendmmsg };
