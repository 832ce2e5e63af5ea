/** recvfrom(2), recvmsg(2), recvmmsg(2). */
import { ERRNO, MMSGHDR, MSG, MSGHDR, NR, TIMESPEC, UIO_MAXIOV } from "../abi/mod.ts";
import {
  again,
  answer,
  asInt,
  asSize,
  asUint,
  back,
  BAD_ADDRESS,
  buffer,
  cannotWrite,
  done,
  EFAULT_RESULT,
  EMPTY,
  fail,
  fdArg,
  Forward,
  six,
  tryRead,
  tryWrite,
} from "./forward.ts";
import { Layout } from "./layout.ts";
import { buildHeader, type Message, nameRoom, readMessage } from "./message.ts";
import { probeMessage, probeSocket } from "./probe.ts";
import { iovecs, Segments } from "./segments.ts";
import { addressOut } from "./sockaddr.ts";
import type { Specials } from "./special.ts";
import type { DeputyArea, FinishResult, GuestMemory, OutRange, Plan, Planner } from "./types.ts";

const BIG_MESSAGE = back("big_message");
/** Kept beside the data of a large message: header, name, 1024 iovecs. */
const BESIDE = 24 * 1024;
/** No message has more control data; larger buffers are the same to the kernel. */
const MAX_CONTROL = 32 * 1024;

/** What is read in one call of a large receive, once the kind of socket is known. */
function sizeFirst(fd: bigint, flags: number, room: number, area: DeputyArea, plan: (waitAll: boolean) => Plan): Plan {
  return probeSocket(fd, area, (kind) => {
    if (kind !== "message") return again(plan((flags & MSG.WAITALL) !== 0 && (flags & MSG.PEEK) === 0));
    return again(probeMessage(fd, flags, area, (length) => again(length > room ? BIG_MESSAGE : plan(false))));
  });
}

/** Goes on with recv(2) until all is there, as MSG_WAITALL asks; an end or an error shows as the shorter count. */
function restOf(fd: bigint, flags: number, segments: Segments, before: number, area: DeputyArea): Plan {
  const n = Math.min(area.size, segments.total - before);
  const outs: OutRange[] = [{ offset: 0, length: n, limit: "return" }];
  return new Forward(NR.recvfrom, [fd, area.base, BigInt(n), BigInt(flags), 0n, 0n], EMPTY, outs, (result, out, mem) => {
    if (result <= 0n || !segments.slice(before, n).scatter(mem, out)) return done(BigInt(before));
    const total = before + Number(result);
    return Number(result) < n || total === segments.total ? done(BigInt(total)) : again(restOf(fd, flags, segments, total, area));
  }).waits(true);
}

const recvfrom: Planner = (args, mem, area, ctx): Plan => {
  const fd = fdArg(args[0], ctx);
  const n = asSize(args[2]);
  const data = args[1] ?? 0n;
  const flags = asInt(args[3]);
  const bad = n > 0 && cannotWrite(mem, data, n);
  const room = area.size - BESIDE;
  if (bad || n <= room) return receive(bad ? null : n, false);
  return sizeFirst(fd, flags, room, area, (waitAll) => receive(room, waitAll));

  function receive(length: number | null, waitAll: boolean): Plan {
    const a = six(args);
    a[0] = fd;
    const layout = new Layout(area);
    const from = a[4] === 0n ? null : addressOut(a, 4, layout, mem);
    if (from === null) a[5] = 0n;
    const outs: OutRange[] = from === null ? [] : [...from.outs];
    if (length === null) a[1] = BAD_ADDRESS;
    else {
      const offset = layout.room(length);
      a[1] = layout.address(offset);
      a[2] = BigInt(length);
      outs.push({ offset, length, limit: "return" });
    }
    const named = from === null ? 0 : from.outs.reduce((sum, o) => sum + o.length, 0);
    return new Forward(NR.recvfrom, a, layout.blob(), outs, (result, out, memory) => {
      if (result < 0n) return done(result);
      if (!tryWrite(memory, data, out.subarray(named))) return done(EFAULT_RESULT);
      if (from !== null && !from.deliver(out.subarray(0, named), memory)) return done(EFAULT_RESULT);
      const got = Number(result);
      return waitAll && got === length && got < n ? again(restOf(fd, flags, Segments.one(data, n), got, area)) : done(result);
    }).waits(true);
  }
};

const AT = MSGHDR.at;

/** One recvmsg with at most `limit` bytes of data. */
function receiveMessage(fd: bigint, flags: bigint, m: Message, limit: number, waitAll: boolean, mem: GuestMemory, area: DeputyArea): Plan {
  const layout = new Layout(area);
  const segments = m.segments === null ? null : m.segments.total > limit ? m.segments.slice(0, limit) : m.segments;
  const dataSize = segments?.total ?? 0;
  // The header and the vector go in, so they come first; their pointers lead behind them.
  const header = layout.room(MSGHDR.size);
  const arrayAt = layout.room((segments?.list.length ?? 1) * 16);
  const room = nameRoom(m, mem);
  const nameAt = layout.room(Math.max(room, 0));
  const wanted = Math.min(m.controlLength, MAX_CONTROL);
  const controlBad = m.control !== 0n && wanted > 0 && cannotWrite(mem, m.control, wanted);
  const controlRoom = m.control === 0n || controlBad ? 0 : wanted;
  const controlAt = layout.room(controlRoom);
  const dataAt = layout.room(dataSize);
  if (layout.full) return BIG_MESSAGE;

  const put = new Layout(area);
  const vector =
    segments === null
      ? m.refusedArray === null
        ? { iov: BAD_ADDRESS, count: m.iovCount }
        : { iov: layout.address(arrayAt), count: 1n }
      : { iov: layout.address(arrayAt), count: BigInt(segments.list.length) };
  put.put(
    buildHeader(m, {
      name: m.name === 0n ? 0n : room < 0 ? BAD_ADDRESS : layout.address(nameAt),
      nameLength: m.nameLength,
      ...vector,
      control: m.control === 0n ? 0n : controlBad ? BAD_ADDRESS : layout.address(controlAt),
      controlLength: wanted,
    }),
  );
  put.put(segments === null ? (m.refusedArray ?? EMPTY) : markBad(iovecs(segments, layout.address(dataAt)), segments, mem));
  const outs: OutRange[] = [
    { offset: header, length: MSGHDR.size },
    { offset: nameAt, length: Math.max(room, 0) },
    { offset: controlAt, length: controlRoom },
    { offset: dataAt, length: dataSize, limit: "return" },
  ];
  const nameEnd = MSGHDR.size + Math.max(room, 0);
  return new Forward(NR.recvmsg, [fd, layout.address(header), flags, 0n, 0n, 0n], put.blob(), outs, (result, out, memory): FinishResult => {
    if (result < 0n) return done(result);
    const head = buffer(out);
    if (segments !== null && !segments.scatter(memory, out.subarray(nameEnd + controlRoom))) return done(EFAULT_RESULT);
    const known = Math.max(0, Math.min(head.readInt32LE(AT.msg_namelen), Math.max(room, 0)));
    const control = Math.min(Number(head.readBigUInt64LE(AT.msg_controllen)), controlRoom);
    const ok =
      tryWrite(memory, m.name, out.subarray(MSGHDR.size, MSGHDR.size + known)) &&
      tryWrite(memory, m.control, out.subarray(nameEnd, nameEnd + control)) &&
      (m.name === 0n || tryWrite(memory, m.address + BigInt(AT.msg_namelen), head.subarray(AT.msg_namelen, AT.msg_namelen + 4))) &&
      tryWrite(memory, m.address + BigInt(AT.msg_controllen), head.subarray(AT.msg_controllen, AT.msg_controllen + 8)) &&
      tryWrite(memory, m.address + BigInt(AT.msg_flags), head.subarray(AT.msg_flags, AT.msg_flags + 4));
    if (!ok) return done(EFAULT_RESULT);
    const got = Number(result);
    const all = m.segments;
    if (waitAll && all !== null && got === dataSize && got < all.total) return again(restOf(fd, asInt(flags), all, got, area));
    return done(result);
  }).waits(true);
}

/** Elements that cannot take an answer stay bad. */
function markBad(array: Buffer, segments: Segments, mem: GuestMemory): Buffer {
  segments.list.forEach(({ address, length }, i) => {
    if (length > 0 && cannotWrite(mem, address, length)) array.writeBigUInt64LE(BAD_ADDRESS, i * 16);
  });
  return array;
}

function receive(fd: bigint, flags: bigint, m: Message, mem: GuestMemory, area: DeputyArea): Plan {
  const room = area.size - BESIDE - MAX_CONTROL;
  const total = m.segments?.total ?? 0;
  if (total <= room) return receiveMessage(fd, flags, m, room, false, mem, area);
  return sizeFirst(fd, asInt(flags), room, area, (waitAll) => receiveMessage(fd, flags, m, room, waitAll, mem, area));
}

const recvmsg: Planner = (args, mem, area, ctx): Plan => {
  const fd = fdArg(args[0], ctx);
  const flags = args[2] ?? 0n;
  const m = readMessage(mem, args[1] ?? 0n);
  if (m === null) return new Forward(NR.recvmsg, [fd, BAD_ADDRESS, flags, 0n, 0n, 0n]).waits(true);
  return receive(fd, flags, m, mem, area);
};

const NS = 1_000_000_000n;

/**
 * Messages one after the other. As in the kernel, the time limit is looked at only between messages (recvmmsg(2), BUGS), and an error
 * after the first message shows as a shorter count.
 */
const recvmmsg: Planner = (args, mem, area, ctx): Plan => {
  const fd = fdArg(args[0], ctx);
  const flags = asInt(args[3]);
  const count = Math.min(asUint(args[2]), UIO_MAXIOV);
  const at = (i: number): bigint => (args[1] ?? 0n) + BigInt(i * MMSGHDR.size);
  const timeAt = args[4] ?? 0n;
  let deadline: bigint | null = null;
  if (timeAt !== 0n) {
    const time = tryRead(mem, timeAt, TIMESPEC.size);
    if (time === null) return answer(EFAULT_RESULT);
    const [sec, nsec] = [time.readBigInt64LE(0), time.readBigInt64LE(8)];
    if (sec < 0n || nsec < 0n || nsec >= NS) return fail(ERRNO.EINVAL);
    deadline = process.hrtime.bigint() + sec * NS + nsec;
  }
  if (count === 0) return new Forward(NR.recvmmsg, [fd, area.base, 0n, BigInt(flags), 0n, 0n]);
  return message(0, mem);

  function flagsAt(i: number): bigint {
    const plain = flags & ~MSG.WAITFORONE;
    return BigInt.asUintN(32, BigInt(flags & MSG.WAITFORONE && i > 0 ? plain | MSG.DONTWAIT : plain));
  }

  function message(i: number, memory: GuestMemory): Plan {
    const m = readMessage(memory, at(i));
    if (m === null) return i > 0 ? answer(BigInt(i)) : new Forward(NR.recvmsg, [fd, BAD_ADDRESS, flagsAt(i), 0n, 0n, 0n]);
    return counted(receive(fd, flagsAt(i), m, memory, area), i);
  }

  function counted(plan: Plan, i: number): Plan {
    if (plan.kind === "answer") return answer(i > 0 ? BigInt(i) : plan.result);
    if (plan.kind !== "forward") return plan.kind === "back" && i > 0 ? answer(BigInt(i)) : plan;
    const inner = plan.finish;
    return new Forward(plan.nr, plan.args, plan.blob, plan.outs, (result, out, memory): FinishResult => {
      const next = inner(result, out, memory);
      if ("again" in next) return again(counted(next.again, i));
      if (next.done < 0n) return end(i, i > 0 ? BigInt(i) : next.done, memory);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(Number(next.done), 0);
      if (!tryWrite(memory, at(i) + BigInt(MMSGHDR.at.msg_len), length)) return end(i, i > 0 ? BigInt(i) : EFAULT_RESULT, memory);
      const last = i + 1 === count || (deadline !== null && process.hrtime.bigint() >= deadline);
      return last ? end(i + 1, BigInt(i + 1), memory) : again(message(i + 1, memory));
    }).waits(true);
  }

  /** Tells the time that is left, as the kernel does when at least one message came. */
  function end(got: number, result: bigint, memory: GuestMemory): FinishResult {
    if (deadline === null || got === 0) return done(result);
    const left = deadline - process.hrtime.bigint();
    const time = Buffer.alloc(TIMESPEC.size);
    time.writeBigInt64LE(left > 0n ? left / NS : 0n, 0);
    time.writeBigInt64LE(left > 0n ? left % NS : 0n, 8);
    return done(tryWrite(memory, timeAt, time) ? result : EFAULT_RESULT);
  }
};

export const receives: Specials = { recvfrom, recvmsg, recvmmsg };
