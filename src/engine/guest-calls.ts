import { toTeselaError } from "../base/mod.ts";
import { Fault, type ForwardPlan } from "../forward/mod.ts";
import { type Image, SIGACTION_BYTES, SIGNALS } from "../image/mod.ts";
import { isErrno } from "../sys/mod.ts";
import { receiveBlock } from "./file-cache.ts";
import type { Guest } from "./guest.ts";
import { exec, exitThread, fork } from "./guest-family.ts";
import { injectCall } from "./guest-inject.ts";
import { answerHere } from "./guest-signals.ts";
import { Restart } from "./restarts.ts";
import { Sys } from "./numbers.ts";
import { signalfd } from "./signals-at-home.ts";
import { place, SKELETON_ARGS } from "./skeleton.ts";
import { GUEST_SOCKET } from "./zygote.ts";

/** Calls on which both engines act, by the name that their plan gives. What has no entry here brings the process home. */
type Handler = (guest: Guest, nr: number) => void;

const EFAULT = 14n;
const SIGINFO_BYTES = 128;
const EMPTY = Buffer.alloc(0);

const HANDLERS: Readonly<Record<string, Handler>> = {
  rt_sigaction: sigaction,
  set_tid_address: (guest) => {
    guest.clearTid = guest.regs.args[0] ?? 0n;
    guest.finishCall(BigInt(guest.homeTid));
  },
  exit: (guest, nr) => (guest.process.threads.size > 1 ? exitThread(guest, nr) : exit(guest)),
  exit_group: exit,
  mmap_file: mapFile,
  // Home's kernel sends it. If it comes to this process, home asks about it before the call returns, as signal(7) wants.
  kill: forwardPlain,
  tkill: (guest, nr) => sendToThread(guest, nr, 0),
  tgkill: (guest, nr) => sendToThread(guest, nr, 1),
  rt_sigqueueinfo: (guest, nr) => sendInfo(guest, nr, 2),
  rt_tgsigqueueinfo: (guest, nr) => sendToThread(guest, nr, 1),
  setrlimit: (guest, nr) => limit(guest, nr, 0n, 0, 1, null),
  prlimit64: (guest, nr) => limit(guest, nr, guest.regs.args[0] ?? 0n, 1, 2, 3),
  fork,
  vfork: fork,
  clone: fork,
  clone3: fork,
  execve: exec,
  execveat: exec,
  signalfd,
  signalfd4: signalfd,
};

export function engineCall(guest: Guest, name: string, nr: number): void {
  const handler = HANDLERS[name];
  if (handler) handler(guest, nr);
  else guest.goBack(nr, name);
}

/**
 * Before a call for which home's deputy works on behalf of the engines: what home asks about is answered first, or it would
 * wait for that. False when a signal has come before the call: it is delivered, and the call is made again.
 */
export function standBy(guest: Guest): boolean {
  guest.signals.answer(null);
  if (guest.signals.undelivered) {
    guest.rewindCall();
    guest.settle();
    return false;
  }
  guest.state = { kind: "busy" };
  return true;
}

/** A call as it is, with data of its own in front. */
export function planned(nr: number, args: readonly bigint[], rest: Partial<ForwardPlan> & Pick<ForwardPlan, "finish">): ForwardPlan {
  return { kind: "forward", nr, args: [...args], blob: EMPTY, outs: [], blocking: false, restartOnEintr: false, ...rest };
}

function forwardPlain(guest: Guest, nr: number): void {
  guest.forward(nr, planned(nr, guest.regs.args, { finish: (result) => ({ done: result }) }));
}

/** Signal 0 only asks; SIGKILL and what job control acts on are home's affair. */
const SENT_BY_HOME: ReadonlySet<number> = new Set([0, 9, 18, 19, 20, 21, 22]);

/** A signal from one thread of the process to another, or to itself: it comes as if home had asked about it. */
function sendToThread(guest: Guest, nr: number, tidAt: number): void {
  const { args } = guest.regs;
  const [tid, signal] = [args[tidAt], args[tidAt + 1]].map((a) => Number(BigInt.asIntN(32, a ?? 0n)));
  const target = guest.process.threads.get(tid ?? 0);
  const given = nr === Sys.rtTgsigqueueinfo ? guest.memory.readUpTo(args[tidAt + 2] ?? 0n, SIGINFO_BYTES) : null;
  // Whatever is odd, home's kernel knows what to say to it.
  const isOdd = !target || !signal || signal < 0 || signal > SIGNALS || SENT_BY_HOME.has(signal) || !mayBeSent(given, target === guest);
  if (isOdd || guest.process.signalsAtHome) {
    if (given) sendInfo(guest, nr, tidAt + 2);
    else forwardPlain(guest, nr);
    return;
  }
  const info = given ?? tkillInfo(guest);
  info.writeInt32LE(signal, 0);
  if (target !== guest) {
    target.tell(info);
    guest.finishCall(0n);
    return;
  }
  guest.signals.ask(info, answerHere(guest, info));
  guest.finishCall(0n);
}
const SI_TKILL = -6;

/** rt_tgsigqueueinfo(2): nobody pretends to another thread that the kernel, or tgkill(2), has sent it. */
const mayBeSent = (given: Buffer | null, toItself: boolean): boolean => {
  if (!given) return true;
  if (given.length < SIGINFO_BYTES) return false;
  const code = given.readInt32LE(8);
  return toItself || (code < 0 && code !== SI_TKILL);
};

/** What tgkill(2) says: who sent it, as home knows that. */
function tkillInfo(guest: Guest): Buffer {
  const info = Buffer.alloc(SIGINFO_BYTES);
  info.writeInt32LE(SI_TKILL, 8);
  info.writeInt32LE(guest.pid, 16);
  info.writeUInt32LE(guest.process.image.ids.uid, 20);
  return info;
}

/** rt_sigqueueinfo(2) and rt_tgsigqueueinfo(2): the siginfo_t is argument `at`. */
function sendInfo(guest: Guest, nr: number, at: number): void {
  const args = guest.regs.args;
  const info = guest.memory.readUpTo(args[at] ?? 0n, SIGINFO_BYTES);
  if (info.length < SIGINFO_BYTES) {
    guest.finishCall(-EFAULT);
    return;
  }
  args[at] = guest.area.base;
  guest.forward(nr, planned(nr, args, { blob: info, finish: (result) => ({ done: result }) }));
}

const RLIMIT_BYTES = 16;
/** Limits that act where the memory is, RLIMIT_DATA, RLIMIT_STACK and RLIMIT_AS, by number. */
const LIMITS_HERE: Readonly<Record<number, keyof Image["limits"]>> = { 2: "data", 3: "stack", 9: "as" };

/** setrlimit(2), prlimit(2): set at home, which judges, and here where the memory is. */
function limit(guest: Guest, nr: number, who: bigint, resourceAt: number, newAt: number, oldAt: number | null): void {
  const args = guest.regs.args;
  const resource = Number(BigInt.asUintN(32, args[resourceAt] ?? 0n));
  const [newPtr, oldPtr] = [args[newAt] ?? 0n, oldAt === null ? 0n : (args[oldAt] ?? 0n)];
  const wanted = newPtr === 0n ? null : guest.memory.readUpTo(newPtr, RLIMIT_BYTES);
  if (wanted && wanted.length < RLIMIT_BYTES) {
    guest.finishCall(-EFAULT);
    return;
  }
  if (wanted) args[newAt] = guest.area.base;
  if (oldAt !== null && oldPtr !== 0n) args[oldAt] = guest.area.base + BigInt(RLIMIT_BYTES);
  const outs = oldPtr === 0n ? [] : [{ offset: RLIMIT_BYTES, length: RLIMIT_BYTES }];
  const own = BigInt.asIntN(32, who) === 0n || Number(BigInt.asIntN(32, who)) === guest.pid;
  guest.forward(
    nr,
    planned(nr, args, {
      blob: wanted ?? EMPTY,
      outs,
      finish: (result, out) => {
        const name = LIMITS_HERE[resource];
        if (result === 0n && wanted && own && name) setLimit(guest, resource, name, wanted);
        if (result === 0n && oldPtr !== 0n) {
          try {
            guest.memory.write(oldPtr, out);
          } catch (e) {
            if (e instanceof Fault) return { done: -EFAULT };
            throw e;
          }
        }
        return { done: result };
      },
    }),
  );
}

/** A limit that home has set and that acts on the memory here. */
function setLimit(guest: Guest, resource: number, name: keyof Image["limits"], value: Buffer): void {
  guest.process.limits = { ...guest.process.limits, [name]: [value.readBigUInt64LE(0), value.readBigUInt64LE(8)] };
  // By the guest itself, whose user is not ours any more. What it may not have here, home has granted all the same.
  injectCall(guest, Sys.prlimit64, [0, resource, place(guest.tid, 0, value), 0]);
}

function exit(guest: Guest): void {
  // Should it be carried off before home has heard, it ends where it goes on.
  guest.rewindCall();
  guest.state = { kind: "waiting", why: "exit" };
  // What has come meanwhile is too late, and home must not wait for it.
  guest.signals.answer(null);
  guest.link.exit(guest, Number(BigInt.asIntN(32, guest.regs.args[0] ?? 0n)));
}

/** Set at home, where SIGCHLD and the terminal's signals depend on it, and here, where handlers run. */
function sigaction(guest: Guest, nr: number): void {
  const [signal = 0n, act = 0n, , size = 0n] = guest.regs.args;
  if (act === 0n) {
    guest.resumeCall();
    return;
  }
  const action = guest.memory.readUpTo(act, SIGACTION_BYTES);
  if (action.length < SIGACTION_BYTES) {
    guest.finishCall(-EFAULT);
    return;
  }
  const plan = planned(nr, [signal, guest.area.base, 0n, size], {
    blob: action,
    finish: (result) => {
      if (result !== 0n) return { done: result };
      // A signal that came in between is the old handler's.
      if (guest.signals.undelivered) return { done: Restart.NOINTR };
      guest.signals.setAction(Number(signal), action);
      return { again: { kind: "local" } };
    },
  });
  guest.forward(nr, plan);
}

/** A private file mapping: home maps the file too, and this node maps the same content. */
function mapFile(guest: Guest, nr: number): void {
  const args = guest.regs.args;
  if (!standBy(guest)) return;
  guest.link
    .mapFile(guest, args)
    .then((answer) => {
      if (guest.state.kind !== "busy") return;
      switch (answer.kind) {
        case "errno":
          guest.finishCall(BigInt(-answer.errno));
          return;
        case "back":
          guest.goBack(nr, answer.reason);
          return;
        case "file":
          mapContent(guest, nr, args, answer.send);
      }
    })
    .catch((e: unknown) => {
      if (guest.state.kind !== "busy") return;
      if (metMove(guest, e)) return;
      guest.log.warn("a file could not be mapped away from home", { pid: guest.pid, error: toTeselaError(e).message });
      guest.goBack(nr, "mmap_file");
    });
}

/** While home moves the process it answers nothing: the call is made again where it goes on. */
export function metMove(guest: Guest, e: unknown): boolean {
  if (toTeselaError(e).code !== "E_BUSY") return false;
  guest.rewindCall();
  guest.settle();
  return true;
}

function mapContent(guest: Guest, nr: number, args: readonly bigint[], send: () => void): void {
  const [addr = 0n, length = 0n, prot = 0n, flags = 0n, , offset = 0n] = args;
  send();
  const at = place(guest.tid, 0x100, receiveBlock(SKELETON_ARGS + 0x100n));
  const received = injectCall(guest, Sys.recvmsg, [GUEST_SOCKET, at, MSG_CMSG_CLOEXEC]);
  if (isErrno(received)) {
    guest.goBack(nr, "mmap_file");
    return;
  }
  const fd = GUEST_SOCKET + 1;
  const kept = (flags & ~BigInt(MAP_SHARED_VALIDATE)) | BigInt(MAP_PRIVATE);
  const result = injectCall(guest, Sys.mmap, [addr, length, prot, kept, fd, offset]);
  injectCall(guest, Sys.close, [fd]);
  if (isErrno(result)) {
    guest.finishCall(result);
    return;
  }
  // Home holds on to the very file by mapping it at the same place.
  guest.link
    .mirror(guest, Sys.mmap, [result, length, prot, flags | BigInt(MAP_FIXED), args[4] ?? 0n, offset])
    .then((r) => {
      if (guest.state.kind !== "busy") return;
      if (r !== result) guest.log.warn("home could not map a file that its guest mapped", { pid: guest.pid, result: String(r) });
      guest.finishCall(result);
    })
    .catch((e: unknown) => {
      if (guest.state.kind !== "busy") return;
      // The repeated call finds the place free again, unless it replaces what is there anyway.
      if (toTeselaError(e).code === "E_BUSY" && (flags & BigInt(MAP_FIXED)) === 0n) injectCall(guest, Sys.munmap, [result, length]);
      if (metMove(guest, e)) return;
      guest.log.warn("home did not mirror a mapping", { pid: guest.pid, error: toTeselaError(e).message });
      guest.finishCall(result);
    });
}
const MSG_CMSG_CLOEXEC = 0x40000000;
const MAP_PRIVATE = 0x2;
/** MAP_SHARED, MAP_PRIVATE and MAP_SHARED_VALIDATE share these bits. */
const MAP_SHARED_VALIDATE = 0x3;
const MAP_FIXED = 0x10;
