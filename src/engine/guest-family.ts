import { CLONE } from "../abi/mod.ts";
import { toTeselaError } from "../base/mod.ts";
import { NO_SYSCALL, ptrace, Reg, Regs } from "../sys/mod.ts";
import { canBeBornAway, canStartAway, type CloneRequest, cloneRequest, has } from "./clone-request.ts";
import { execData } from "./exec-request.ts";
import type { Guest } from "./guest.ts";
import { metMove, planned, standBy } from "./guest-calls.ts";
import type { Born, Started } from "./guest-types.ts";
import { nativeClone } from "./native-clone.ts";
import { Sys } from "./numbers.ts";
import { NO_CPU } from "./tracks.ts";

/** Families of guests: a child or a thread begins where its parent runs; a child becomes another program at home. */

const EFAULT = 14n;

/** fork(2), vfork(2), clone(2), clone3(2). */
export function fork(guest: Guest, nr: number): void {
  const wanted = cloneRequest(nr, guest.regs.args, guest.memory);
  const thread = wanted !== null && has(wanted.flags, CLONE.THREAD);
  if (!wanted || !(thread ? canStartAway(wanted) : canBeBornAway(wanted))) {
    guest.goBack(nr, "clone");
    return;
  }
  if (!guest.link.hasRoom) {
    guest.goBack(nr, "guest_limit");
    return;
  }
  const { link } = guest;
  if (!standBy(guest)) return;
  const made = thread
    ? link.thread(guest, wanted.flags).then((answer) => busy<Started>(guest, answer, (a) => begin(guest, wanted, a)))
    : link
        .fork(guest, { flags: wanted.flags & BigInt(CLONE.CLEAR_SIGHAND), exitSignal: wanted.exitSignal })
        .then((answer) => busy<Born>(guest, answer, (a) => bear(guest, wanted, a)));
  made.catch((e: unknown) => {
    if (guest.state.kind !== "busy") return;
    if (metMove(guest, e)) return;
    guest.log.warn("a child could not begin away from home", { pid: guest.pid, error: toTeselaError(e).message });
    guest.goBack(nr, "fork");
  });
}

/** Goes on with home's answer, unless the guest has ended meanwhile. */
function busy<T extends Born>(guest: Guest, answer: T | { readonly errno: number }, go: (answer: T) => void): void {
  if ("errno" in answer) {
    if (guest.state.kind === "busy") guest.finishCall(BigInt(-answer.errno));
    return;
  }
  // It was killed meanwhile: nobody is there for the child to come from.
  if (guest.state.kind === "busy") guest.guarded(() => go(answer as T));
  else stillborn(guest, (answer as T).ticket);
}

/** Home has the child: makes its guest, and lets both go on. */
function bear(guest: Guest, wanted: CloneRequest, { pid, ticket }: Born): void {
  const tid = cloneSelf(guest, wanted, pid, CLONE.PARENT);
  if (tid === null) {
    stillborn(guest, ticket);
    return;
  }
  const waits = has(wanted.flags, CLONE.VFORK);
  const clearTid = has(wanted.flags, CLONE.CHILD_CLEARTID) ? wanted.childTid : 0n;
  const child = guest.link.adopt(guest, { ticket, pid, tid, clearHandlers: has(wanted.flags, CLONE.CLEAR_SIGHAND), clearTid });
  const [mine, its] = [guest.process.kin, child.process.kin];
  if (has(wanted.flags, CLONE.VM)) {
    mine.share(false);
    its.share(true);
  }
  const release = (): void => {
    if (has(wanted.flags, CLONE.VM)) mine.unshare();
    if (waits && guest.state.kind === "busy") guest.finishCall(BigInt(pid));
  };
  its.onOver = () => guest.guarded(release);
  born(guest, child);
  // The parent of a vfork(2) waits for its child's exec or end.
  if (!waits) guest.finishCall(BigInt(pid));
}

/** Home has the thread: makes its guest. */
function begin(guest: Guest, wanted: CloneRequest, { pid, ticket, area, fd }: Started): void {
  const tid = cloneSelf(guest, wanted, pid, 0);
  if (tid === null) {
    stillborn(guest, ticket);
    return;
  }
  const { process } = guest;
  if (!process.reservedFds.includes(fd)) process.reservedFds.push(fd);
  const clearTid = has(wanted.flags, CLONE.CHILD_CLEARTID) ? wanted.childTid : 0n;
  const thread = process.add({
    ticket,
    tid,
    homeTid: pid,
    areaBase: area,
    clearTid,
    restart: null,
    written: null,
    waitEnd: null,
    position: null,
    borne: 0n,
    cpuUsed: NO_CPU.all,
  });
  born(guest, thread);
  guest.finishCall(BigInt(pid));
}

function born(guest: Guest, child: Guest): void {
  guest.link.born(child).catch((e: unknown) => {
    guest.log.warn("home did not hear of a child's beginning", { pid: child.homeTid, error: toTeselaError(e).message });
  });
  child.guarded(() => child.go());
}

/** There is no room here: as fork(2) and pthread_create(3) say then. */
function stillborn(guest: Guest, ticket: number): void {
  const fail = (): void => {
    if (guest.state.kind === "busy") guest.finishCall(-EAGAIN);
  };
  guest.link.stillborn(guest, ticket).then(fail, fail);
}
const EAGAIN = 11n;

/**
 * The guest's own kernel makes the child or thread, with the number that it has at home. A child is one of the namespace's init: whoever
 * waits for it, waits at home. @returns its TID; it stands behind the call with its own registers; null where that cannot be
 */
function cloneSelf(guest: Guest, wanted: CloneRequest, pid: number, more: number): number | null {
  const { tid, regs } = guest;
  const mask = ptrace.getSigmask(tid);
  const { childTid, parentTid } = wanted;
  let child: number;
  try {
    child = nativeClone(guest, { flags: (wanted.flags & NATIVE_FLAGS) | BigInt(more), tid: pid, childTid, parentTid });
  } catch (e) {
    guest.log.warn("a child could not be made here", { pid: guest.pid, error: toTeselaError(e).message });
    return null;
  }
  const own = new Regs();
  ptrace.getRegs(child, own.bytes);
  const its = regs.clone();
  its.set(Reg.rax, 0n);
  its.set(Reg.origRax, NO_SYSCALL);
  if (wanted.stackTop !== 0n) its.set(Reg.rsp, wanted.stackTop);
  its.set(Reg.fsBase, has(wanted.flags, CLONE.SETTLS) ? wanted.tls : own.get(Reg.fsBase));
  ptrace.setRegs(child, its.bytes);
  ptrace.setSigmask(child, mask);
  return child;
}
const NATIVE_FLAGS = [
  CLONE.VM,
  CLONE.FS,
  CLONE.FILES,
  CLONE.SIGHAND,
  CLONE.THREAD,
  CLONE.SYSVSEM,
  CLONE.PARENT_SETTID,
  CLONE.CHILD_SETTID,
  CLONE.CHILD_CLEARTID,
  CLONE.CLEAR_SIGHAND,
].reduce((all, flag) => all | BigInt(flag), 0n);

/** exit(2) of a thread that is not the last one. */
export function exitThread(guest: Guest, nr: number): void {
  if (guest.isLeader) {
    // Its number and its memory stay in use until all have ended, which only home's kernel knows how to do.
    guest.goBack(nr, "leader_exit");
    return;
  }
  if (!standBy(guest)) return;
  // Home has its thread end, and then this one.
  guest.link.leave(guest, Number(BigInt.asIntN(32, guest.regs.args[0] ?? 0n))).catch((e: unknown) => {
    if (guest.state.kind !== "busy") return;
    if (metMove(guest, e)) return;
    guest.log.warn("a thread could not end away from home", { pid: guest.pid, error: toTeselaError(e).message });
    guest.goBack(nr, "exit");
  });
}

/** execve(2), execveat(2): home makes the new program; where that fails, this one goes on. */
export function exec(guest: Guest, nr: number): void {
  const { args } = guest.regs;
  const at = nr === Sys.execve ? 0 : 1;
  const [path = 0n, argv = 0n, envp = 0n] = args.slice(at);
  const data = execData(guest.memory, guest.area, path, argv, envp);
  // What is pending stays so across execve(2): the way home knows how.
  // Of several threads, all others end.
  if (data.kind === "big" || hasPending(guest) || guest.process.threads.size > 1) {
    guest.goBack(nr, "exec");
    return;
  }
  if (data.kind === "fault") {
    guest.finishCall(-EFAULT);
    return;
  }
  const moved = [...args];
  moved.splice(at, 3, data.path, data.argv, data.envp);
  guest.forward(nr, planned(nr, moved, { blob: data.blob, finish: (result) => ({ done: result }) }));
}

const hasPending = (guest: Guest): boolean =>
  guest.signals.due || ptrace.peekSiginfo(guest.tid, false).length > 0 || ptrace.peekSiginfo(guest.tid, true).length > 0;
