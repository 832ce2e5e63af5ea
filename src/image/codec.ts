import { TeselaError } from "../base/mod.ts";
import {
  bytes,
  CborReader,
  CborWriter,
  type Field,
  i32,
  list,
  nullable,
  obj,
  oneOf,
  range,
  size,
  u32,
  u64,
  u8,
  bool,
  str,
} from "../wire/mod.ts";
import { type Backing, type Image, MM_FIELDS, SIGACTION_BYTES, SIGNALS } from "./image.ts";
import { RANDOM_PARAMS_BYTES } from "./vdso-thunks.ts";

/** An image as bytes: CBOR, every field checked on the way in. */

/** An image without its pages: areas make up most of it, 40 bytes each. */
export const MAX_IMAGE = 12 << 20;
const MAX_VMAS = 70_000;
const MAX_XSTATE = 16_384;
/** Of all threads together, whose zeros do not travel. */
const MAX_XSTATES = 64 << 20;
const MAX_PENDING = 4096;
const SIGINFO = 128;
/** The user half of the address space (TASK_SIZE_MAX with four-level paging). */
const USER_END = 0x7fff_ffff_f000n;
const PAGE_MASK = 0xfffn;

const limit = list(u64, 2);
/** `name`: a file's hash, or the name of what is shared. */
const backing = obj({ kind: oneOf("anon", "file", "shared"), name: nullable(str(64)), offset: u64, writable: bool });
const vma = obj({ start: u64, end: u64, prot: u8, growsDown: bool, backing, advice: u8 });
const thread = obj({
  tid: u32,
  regs: bytes(216),
  xstate: bytes(MAX_XSTATE),
  xstateBytes: range(0, MAX_XSTATE),
  sigmask: u64,
  altStack: obj({ sp: u64, flags: i32, size: u64 }),
  robustList: u64,
  clearTid: u64,
  rseq: nullable(obj({ pointer: u64, size: u32, signature: u32, flags: u32 })),
  pending: list(bytes(SIGINFO), MAX_PENDING),
  restart: nullable(obj({ nr: u32 })),
  written: nullable(obj({ nr: u32, rip: u64, done: u64 })),
  waitEnd: nullable(obj({ nr: u32, rip: u64, end: u64 })),
  position: nullable(obj({ fd: u32, at: u64 })),
  userUs: size,
  systemUs: size,
});
const image = obj({
  pid: u32,
  vmas: list(vma, MAX_VMAS),
  objects: list(obj({ name: str(64), size }), MAX_VMAS),
  vdso: nullable(obj({ start: u64, end: u64, hash: str(64), random: nullable(bytes(RANDOM_PARAMS_BYTES)) })),
  mm: list(u64, MM_FIELDS.length),
  sigactions: bytes(SIGNALS * SIGACTION_BYTES),
  pending: list(bytes(SIGINFO), MAX_PENDING),
  threads: list(thread, 65_536),
  signalsAtHome: bool,
  stack: limit,
  data: limit,
  as: limit,
  userUs: size,
  systemUs: size,
  clocks: obj({ monotonic: u64, boot: u64 }),
  barriers: u32,
  nice: range(-20, 19),
  ids: list(u32, 4),
});
type Wire = typeof image extends Field<infer T> ? T : never;

export function encodeImage(i: Image): Buffer {
  const wire: Wire = {
    pid: i.pid,
    vmas: i.vmas.map((v) => ({ ...v, backing: wireBacking(v.backing), advice: v.advice ?? 0 })),
    objects: [...i.objects],
    vdso: i.vdso,
    mm: MM_FIELDS.map((f) => i.mm[f]),
    sigactions: i.sigactions,
    pending: i.pending,
    threads: i.threads.map(({ cpuUsed, ...t }) => ({
      ...t,
      xstate: withoutEnd(t.xstate),
      xstateBytes: t.xstate.length,
      userUs: cpuUsed.user,
      systemUs: cpuUsed.system,
    })),
    signalsAtHome: i.signalsAtHome,
    stack: i.limits.stack,
    data: i.limits.data,
    as: i.limits.as,
    userUs: i.cpuUsed.user,
    systemUs: i.cpuUsed.system,
    clocks: i.clocks,
    barriers: i.barriers,
    nice: i.nice,
    ids: [i.ids.uid, i.ids.euid, i.ids.gid, i.ids.egid],
  };
  const ofThreads = wire.threads.reduce((sum, t) => sum + t.xstate.length + THREAD_BYTES + t.pending.length * PENDING_BYTES, 0);
  const enough = 65_536 + i.vmas.length * 160 + ofThreads + i.pending.length * PENDING_BYTES;
  const w = new CborWriter(Math.min(enough, MAX_IMAGE));
  image.write(w, wire);
  return Buffer.from(w.bytes());
}

/** A thread without its extended registers, registers by name included; a siginfo_t. */
const THREAD_BYTES = 1024;
const PENDING_BYTES = 160;

/** Most of a state is room for registers that few programs use (AMX: 8 KiB of zeros), and a process may have a thousand threads. */
function withoutEnd(state: Uint8Array): Uint8Array {
  let end = state.length;
  while (end > 0 && state[end - 1] === 0) end--;
  return state.subarray(0, end);
}

function withEnd(state: Uint8Array, length: number): Uint8Array {
  if (state.length > length) throw new TeselaError("E_PROTOCOL", "an image with extended registers longer than they are");
  if (state.length === length) return state;
  const whole = Buffer.alloc(length);
  whole.set(state);
  return whole;
}

function wireBacking(b: Backing): Wire["vmas"][number]["backing"] {
  switch (b.kind) {
    case "anon":
      return { kind: "anon", name: null, offset: 0n, writable: false };
    case "file":
      return { kind: "file", name: b.hash, offset: b.offset, writable: false };
    case "shared":
      return { kind: "shared", name: b.object, offset: b.offset, writable: b.writable };
  }
}
function backingOf({ kind, name, offset, writable }: Wire["vmas"][number]["backing"]): Backing {
  if (kind === "anon" || name === null) return { kind: "anon" };
  return kind === "file" ? { kind, hash: name, offset } : { kind, object: name, offset, writable };
}

/** Areas are whole pages in the order of their addresses, and do not overlap. */
function checkAreas(areas: readonly { start: bigint; end: bigint }[]): void {
  let last = 0n;
  for (const { start, end } of areas) {
    if (start < last || end <= start || end > USER_END || ((start | end) & PAGE_MASK) !== 0n) {
      throw new TeselaError("E_PROTOCOL", `an image with an impossible area: ${start.toString(16)}-${end.toString(16)}`);
    }
    last = end;
  }
}

/** @throws TeselaError E_PROTOCOL for bytes that are no image */
export function decodeImage(bytes: Buffer): Image {
  const r = new CborReader(bytes);
  const w = image.read(r, 0);
  if (!r.done) throw new TeselaError("E_PROTOCOL", "bytes behind an image");
  const word = (of: readonly bigint[], n: number): bigint => {
    const v = of[n];
    if (v === undefined) throw new TeselaError("E_PROTOCOL", "an image with too few words");
    return v;
  };
  const pair = (of: readonly bigint[]): readonly [bigint, bigint] => [word(of, 0), word(of, 1)];
  const [uid = 0, euid = 0, gid = 0, egid = 0] = w.ids;
  if (w.sigactions.length !== SIGNALS * SIGACTION_BYTES) throw new TeselaError("E_PROTOCOL", "an image with too few signal actions");
  if (w.threads.some((t) => t.regs.length !== 216)) throw new TeselaError("E_PROTOCOL", "an image with too few registers");
  if (w.threads.reduce((sum, t) => sum + t.xstateBytes, 0) > MAX_XSTATES) {
    throw new TeselaError("E_PROTOCOL", "an image with more extended registers than a node takes");
  }
  if (w.ids.length !== 4) throw new TeselaError("E_PROTOCOL", "an image with too few ids");
  if ([w.pending, ...w.threads.map((t) => t.pending)].flat().some((info) => info.length !== SIGINFO)) {
    throw new TeselaError("E_PROTOCOL", "an image with a signal that is no siginfo_t");
  }
  checkAreas(w.vmas);
  if (w.vdso) {
    checkAreas([w.vdso]);
    if (w.vdso.random && w.vdso.random.length !== RANDOM_PARAMS_BYTES) throw new TeselaError("E_PROTOCOL", "an image with too few words");
  }
  return {
    pid: w.pid,
    vmas: w.vmas.map((v) => ({ ...v, backing: backingOf(v.backing) })),
    objects: w.objects,
    vdso: w.vdso,
    mm: Object.fromEntries(MM_FIELDS.map((f, n) => [f, word(w.mm, n)])) as Image["mm"],
    sigactions: w.sigactions,
    pending: w.pending,
    threads: w.threads.map(({ userUs, systemUs, xstateBytes, ...t }) => ({
      ...t,
      xstate: withEnd(t.xstate, xstateBytes),
      cpuUsed: { user: userUs, system: systemUs },
    })),
    signalsAtHome: w.signalsAtHome,
    limits: { stack: pair(w.stack), data: pair(w.data), as: pair(w.as) },
    cpuUsed: { user: w.userUs, system: w.systemUs },
    clocks: w.clocks,
    barriers: w.barriers,
    nice: w.nice,
    ids: { uid, euid, gid, egid },
  };
}
