import { toTeselaError } from "../base/mod.ts";
import type { ForwardPlan } from "../forward/mod.ts";
import { SIGACTION_BYTES } from "../image/mod.ts";
import { isErrno } from "../sys/mod.ts";
import { receiveBlock } from "./file-cache.ts";
import type { Guest } from "./guest.ts";
import { injectCall } from "./guest-inject.ts";
import { Sys } from "./numbers.ts";
import { GUEST_SOCKET, place, SKELETON_ARGS } from "./zygote.ts";

/** Calls on which both engines act, by the name that their plan gives. What has no entry here brings the process home. */
type Handler = (guest: Guest, nr: number) => void;

const EFAULT = 14n;

const HANDLERS: Readonly<Record<string, Handler>> = {
  rt_sigaction: sigaction,
  set_tid_address: (guest) => {
    guest.clearTid = guest.regs.args[0] ?? 0n;
    guest.finishCall(BigInt(guest.image.pid));
  },
  restart_syscall: (guest) => guest.resume(0),
  exit: exit,
  exit_group: exit,
  mmap_file: mapFile,
  fork: (guest, nr) => guest.goBack(nr, "fork"),
  vfork: (guest, nr) => guest.goBack(nr, "fork"),
  clone: (guest, nr) => guest.goBack(nr, "clone"),
  clone3: (guest, nr) => guest.goBack(nr, "clone"),
  execve: (guest, nr) => guest.goBack(nr, "exec"),
  execveat: (guest, nr) => guest.goBack(nr, "exec"),
};

export function engineCall(guest: Guest, name: string, nr: number): void {
  const handler = HANDLERS[name];
  if (handler) handler(guest, nr);
  else guest.goBack(nr, name);
}

function exit(guest: Guest): void {
  guest.state = { kind: "waiting", why: "exit" };
  guest.link.exit(guest, Number(BigInt.asIntN(32, guest.regs.args[0] ?? 0n)));
}

/** Set at home, where SIGCHLD and the terminal's signals depend on it, and here, where handlers run. */
function sigaction(guest: Guest, nr: number): void {
  const [signal = 0n, act = 0n, , size = 0n] = guest.regs.args;
  if (act === 0n) {
    guest.resume(0);
    return;
  }
  const action = guest.memory.readUpTo(act, SIGACTION_BYTES);
  if (action.length < SIGACTION_BYTES) {
    guest.finishCall(-EFAULT);
    return;
  }
  const plan: ForwardPlan = {
    kind: "forward",
    nr,
    args: [signal, guest.area.base, 0n, size, 0n, 0n],
    blob: action,
    outs: [],
    blocking: false,
    restartOnEintr: false,
    finish: (result) => {
      if (result !== 0n) return { done: result };
      guest.setAction(Number(signal), action);
      return { again: { kind: "local" } };
    },
  };
  guest.forward(nr, plan);
}

/** A private file mapping: home maps the file too, and this node maps the same content. */
function mapFile(guest: Guest, nr: number): void {
  const args = guest.regs.args;
  guest.state = { kind: "busy" };
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
      guest.log.warn("a file could not be mapped away from home", { pid: guest.image.pid, error: toTeselaError(e).message });
      if (guest.state.kind === "busy") guest.goBack(nr, "mmap_file");
    });
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
      if (r !== result) guest.log.warn("home could not map a file that its guest mapped", { pid: guest.image.pid, result: String(r) });
      guest.finishCall(result);
    })
    .catch((e: unknown) => {
      guest.log.warn("home did not mirror a mapping", { pid: guest.image.pid, error: toTeselaError(e).message });
      if (guest.state.kind === "busy") guest.finishCall(result);
    });
}
const MSG_CMSG_CLOEXEC = 0x40000000;
const MAP_PRIVATE = 0x2;
/** MAP_SHARED, MAP_PRIVATE and MAP_SHARED_VALIDATE share these bits. */
const MAP_SHARED_VALIDATE = 0x3;
const MAP_FIXED = 0x10;

