/** getsockopt(2) and setsockopt(2). */
import { NR, SO, SOCK_FILTER, SOCK_FPROG, SOL, TCP } from "../abi/mod.ts";
import {
  asInt,
  back,
  BAD_ADDRESS,
  buffer,
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
import { LENGTH } from "./sockaddr.ts";
import { type Specials, unless } from "./special.ts";
import type { Plan, Planner } from "./types.ts";

const RDS = 276;
const XDP = 283;
const SCTP = 132;
const PACKET = 263;
const PACKET_FANOUT_DATA = 22;
const SCTP_CONNECTX3 = 111;
/** Firewall tables at SOL_IP and SOL_IPV6: their structures point to counters. */
const TABLES_FIRST = 64;
const TABLES_LAST_V6 = 65;

/** A classic filter of more instructions is refused by the kernel (BPF_MAXINSNS). */
const MAX_FILTER = 4096;

function pointsElsewhere(level: number, name: number, set: boolean): boolean {
  switch (level) {
    case SOL.SOCKET:
      return name === SO.DEVMEM_DONTNEED;
    case SOL.IP:
      return set && name >= TABLES_FIRST;
    case SOL.IPV6:
      return set && name >= TABLES_FIRST && name <= TABLES_LAST_V6;
    case SOL.TCP:
      return name === TCP.ZEROCOPY_RECEIVE;
    case PACKET:
      return name === PACKET_FANOUT_DATA;
    case SCTP:
      return name === SCTP_CONNECTX3;
    default:
      return level === RDS || level === XDP;
  }
}

const unknown = (level: number, name: number): Plan => back(`sockopt: ${level}/${name}`);

/** struct sock_fprog holds a count and a pointer to the instructions. */
const attachFilter: Planner = (args, mem, area, ctx): Plan => {
  const a = six(args);
  a[0] = fdArg(a[0], ctx);
  const layout = new Layout(area);
  const head = asInt(a[4]) === SOCK_FPROG.size ? tryRead(mem, a[3] ?? 0n, SOCK_FPROG.size) : Buffer.alloc(0);
  if (head !== null && head.length === SOCK_FPROG.size) {
    const count = head.readUInt16LE(SOCK_FPROG.at.len);
    const code = count > MAX_FILTER ? null : tryRead(mem, head.readBigUInt64LE(SOCK_FPROG.at.filter), count * SOCK_FILTER.size);
    const patched = Buffer.from(head);
    patched.writeBigUInt64LE(code === null ? BAD_ADDRESS : layout.putAt(code), SOCK_FPROG.at.filter);
    a[3] = layout.putAt(patched);
  } else a[3] = BAD_ADDRESS;
  return layout.full ? TOO_BIG : new Forward(NR.setsockopt, a, layout.blob());
};

const set = unless((args, mem, area, ctx) => {
  const level = asInt(args[1]);
  const name = asInt(args[2]);
  if (level === SOL.SOCKET && (name === SO.ATTACH_FILTER || name === SO.ATTACH_REUSEPORT_CBPF)) return attachFilter(args, mem, area, ctx);
  return pointsElsewhere(level, name, true) ? unknown(level, name) : null;
});

/** No option has more; programs that offer larger buffers get the same answer in this one. */
const MOST = 64 * 1024;

const get: Planner = (args, mem, area, ctx): Plan => {
  const level = asInt(args[1]);
  const name = asInt(args[2]);
  if (pointsElsewhere(level, name, false)) return unknown(level, name);
  const a = six(args);
  a[0] = fdArg(a[0], ctx);
  const layout = new Layout(area);
  const value = args[3] ?? 0n;
  const lengthAt = args[4] ?? 0n;
  const raw = tryRead(mem, lengthAt, LENGTH);
  if (raw === null || cannotWrite(mem, lengthAt, LENGTH)) {
    a[4] = BAD_ADDRESS;
    return new Forward(NR.getsockopt, a);
  }
  // SO_GET_FILTER counts instructions.
  const unit = level === SOL.SOCKET && name === SO.GET_FILTER ? SOCK_FILTER.size : 1;
  const offered = raw.readInt32LE(0);
  const room = Math.max(0, Math.min(offered * unit, MOST));
  const sent = Buffer.alloc(LENGTH);
  sent.writeInt32LE(Math.min(offered, room / unit), 0);
  const lengthOffset = layout.put(sent);
  a[4] = layout.address(lengthOffset);
  if (value === 0n || cannotWrite(mem, value, room)) {
    a[3] = value === 0n ? 0n : BAD_ADDRESS;
    const outs = [{ offset: lengthOffset, length: LENGTH }];
    return new Forward(NR.getsockopt, a, layout.blob(), outs, (result, out, memory) =>
      done(result >= 0n && !tryWrite(memory, lengthAt, out) ? EFAULT_RESULT : result),
    );
  }
  // Some options read what the buffer says first.
  const offset = layout.put(Buffer.concat([mem.readUpTo(value, room)], room));
  a[3] = layout.address(offset);
  if (layout.full) return TOO_BIG;
  const outs = [
    { offset: lengthOffset, length: LENGTH, onError: true },
    { offset, length: room },
  ];
  return new Forward(NR.getsockopt, a, layout.blob(), outs, (result, out, memory) => {
    const length = buffer(out).readInt32LE(0);
    const bytes = Math.max(0, Math.min(length * unit, room));
    // Some options tell the length they need when they fail (SO_PEERGROUPS, SO_PEERSEC).
    if (result < 0n && length === sent.readInt32LE(0)) return done(result);
    const ok =
      tryWrite(memory, value, out.subarray(LENGTH, LENGTH + (result < 0n ? 0 : bytes))) &&
      tryWrite(memory, lengthAt, out.subarray(0, LENGTH));
    return done(ok ? result : EFAULT_RESULT);
  });
};

export const options: Specials = { setsockopt: set, getsockopt: get };
