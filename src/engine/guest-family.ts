import { CLONE, CLONE_ARGS } from "../abi/mod.ts";
import { assert, TeselaError, toTeselaError } from "../base/mod.ts";
import { SKELETON_BASE, Stub } from "../image/mod.ts";
import { isEnd, ptrace, Reg, Regs, type WaitStatus } from "../sys/mod.ts";
import { canBeBornAway, type CloneRequest, cloneRequest, has } from "./clone-request.ts";
import { execData } from "./exec-request.ts";
import type { Guest } from "./guest.ts";
import { ALL_BUT_TRAP } from "./guest-build.ts";
import { metMove, planned, standBy } from "./guest-calls.ts";
import { mustBeOurs, mustHaveStub } from "./guest-inject.ts";
import { Sys } from "./numbers.ts";
import { place } from "./skeleton.ts";

/** Families of guests: a child begins where its parent runs, and becomes another program at home. */

const SIGTRAP = 5;
const EFAULT = 14n;
const CALL_AT = SKELETON_BASE + BigInt(Stub.one);

/** fork(2), vfork(2), clone(2), clone3(2). */
export function fork(guest: Guest, nr: number): void {
  const wanted = cloneRequest(nr, guest.regs.args, guest.memory);
  if (!wanted || !canBeBornAway(wanted)) {
    guest.goBack(nr, wanted && has(wanted.flags, CLONE.THREAD) ? "threads" : "clone");
    return;
  }
  if (!guest.link.hasRoom) {
    guest.goBack(nr, "guest_limit");
    return;
  }
  if (!standBy(guest)) return;
  const flags = wanted.flags & BigInt(CLONE.CLEAR_SIGHAND);
  guest.link
    .fork(guest, { flags, exitSignal: wanted.exitSignal })
    .then((answer) => {
      if (guest.state.kind !== "busy") return;
      if ("errno" in answer) guest.finishCall(BigInt(-answer.errno));
      else bear(guest, wanted, answer);
    })
    .catch((e: unknown) => {
      if (guest.state.kind !== "busy") return;
      if (metMove(guest, e)) return;
      guest.log.warn("a child could not begin away from home", { pid: guest.image.pid, error: toTeselaError(e).message });
      guest.goBack(nr, "fork");
    });
}

/** Home has the child: makes its guest, and lets both go on. */
function bear(guest: Guest, wanted: CloneRequest, { pid, ticket }: { pid: number; ticket: number }): void {
  let tid: number;
  try {
    tid = cloneSelf(guest, wanted, pid);
  } catch (e) {
    if (toTeselaError(e).code === "E_GONE") throw e;
    guest.log.warn("a child could not be made here", { pid: guest.image.pid, error: toTeselaError(e).message });
    // As fork(2) says where there is no room.
    const fail = (): void => {
      if (guest.state.kind === "busy") guest.finishCall(-EAGAIN);
    };
    guest.link.stillborn(guest, ticket).then(fail, fail);
    return;
  }
  const waits = has(wanted.flags, CLONE.VFORK);
  const clearTid = has(wanted.flags, CLONE.CHILD_CLEARTID) ? wanted.childTid : 0n;
  const child = guest.link.adopt(guest, { ticket, pid, tid, clearHandlers: has(wanted.flags, CLONE.CLEAR_SIGHAND), clearTid });
  if (has(wanted.flags, CLONE.VM)) {
    guest.kin.sharing++;
    child.kin.sharing++;
  }
  const release = (): void => {
    if (has(wanted.flags, CLONE.VM)) guest.kin.sharing--;
    if (waits && guest.state.kind === "busy") guest.finishCall(BigInt(pid));
  };
  child.kin.onOver = () => guest.guarded(release);
  guest.link.born(child).catch((e: unknown) => {
    guest.log.warn("home did not hear of a child's beginning", { pid, error: toTeselaError(e).message });
  });
  child.guarded(() => child.go());
  // The parent of a vfork(2) waits for its child's exec or end.
  if (!waits) guest.finishCall(BigInt(pid));
}
const EAGAIN = 11n;

/**
 * The guest's own kernel makes the child, with the PID that it has at home, and as a child of the namespace's init: whoever
 * waits for it, waits at home. @returns its TID; it stands behind the call with its own registers
 */
function cloneSelf(guest: Guest, wanted: CloneRequest, pid: number): number {
  const { tid, tracees, regs } = guest;
  mustHaveStub(tid);
  const tids = Buffer.alloc(8);
  tids.writeInt32LE(pid);
  const args = Buffer.alloc(CLONE_ARGS.size);
  const set = (field: keyof typeof CLONE_ARGS.at, value: bigint): void => void args.writeBigUInt64LE(value, CLONE_ARGS.at[field]);
  set("flags", (wanted.flags & NATIVE_FLAGS) | BigInt(CLONE.PARENT));
  set("child_tid", wanted.childTid);
  set("parent_tid", wanted.parentTid);
  set("set_tid", place(tid, TIDS_AT, tids));
  set("set_tid_size", 1n);
  const at = place(tid, 0, args);
  const mask = ptrace.getSigmask(tid);
  ptrace.setSigmask(tid, ALL_BUT_TRAP);
  const call = regs.clone();
  call.setCall(CALL_AT, Sys.clone3, [at, args.length]);
  ptrace.setRegs(tid, call.bytes);
  let child = 0;
  for (let stops = 0; ; stops++) {
    ptrace.cont(tid);
    const s: WaitStatus = tracees.wait(tid);
    if (isEnd(s)) throw new TeselaError("E_GONE", "the guest ended");
    if (s.kind === "signal" && s.signal === SIGTRAP) break;
    assert(s.kind === "event" && stops < 4, `a guest's clone ends (${JSON.stringify(s)})`);
    if (s.event === ptrace.Event.SECCOMP) mustBeOurs(tid, Sys.clone3);
    if (s.event === ptrace.Event.CLONE || s.event === ptrace.Event.FORK || s.event === ptrace.Event.VFORK) {
      child = Number(ptrace.eventMessage(tid));
    }
  }
  ptrace.getRegs(tid, call.bytes);
  ptrace.setRegs(tid, regs.bytes);
  ptrace.setSigmask(tid, mask);
  if (child === 0) throw new TeselaError("E_NOMEM", `clone3 in a guest: errno ${-call.result}`);
  const stop = tracees.wait(child);
  assert(stop.kind === "event", `a new guest stops (${JSON.stringify(stop)})`);
  const own = new Regs();
  ptrace.getRegs(child, own.bytes);
  const its = regs.clone();
  its.set(Reg.rax, 0n);
  its.set(Reg.origRax, -1n);
  if (wanted.stackTop !== 0n) its.set(Reg.rsp, wanted.stackTop);
  its.set(Reg.fsBase, has(wanted.flags, CLONE.SETTLS) ? wanted.tls : own.get(Reg.fsBase));
  ptrace.setRegs(child, its.bytes);
  ptrace.setSigmask(child, mask);
  return child;
}
const TIDS_AT = 0x100;
const NATIVE_FLAGS = [CLONE.VM, CLONE.PARENT_SETTID, CLONE.CHILD_SETTID, CLONE.CHILD_CLEARTID, CLONE.CLEAR_SIGHAND].reduce(
  (all, flag) => all | BigInt(flag),
  0n,
);

/** execve(2), execveat(2): home makes the new program; where that fails, this one goes on. */
export function exec(guest: Guest, nr: number): void {
  const { args } = guest.regs;
  const at = nr === Sys.execve ? 0 : 1;
  const [path = 0n, argv = 0n, envp = 0n] = args.slice(at);
  const data = execData(guest.memory, guest.area, path, argv, envp);
  // What is pending stays so across execve(2): the way home knows how.
  if (data.kind === "big" || hasPending(guest)) {
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
