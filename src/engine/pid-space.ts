import { TeselaError } from "../base/mod.ts";
import { isEnd, libc, SysError, type Tracees } from "../sys/mod.ts";
import { Sys } from "./numbers.ts";
import { forkSkeleton, place, SKELETON_ARGS } from "./skeleton.ts";

/** Offsets in the skeleton's argument pages. */
const Args = { clone: 0n, tids: 0x100n } as const;
/** struct clone_args up to set_tid_size (CLONE_ARGS_SIZE_VER1, include/uapi/linux/sched.h). */
const CLONE_ARGS_BYTES = 80;
const EXIT_SIGNAL_AT = 32;
const SET_TID_AT = 64;
const SET_TID_SIZE_AT = 72;
const CLONE_NEWPID = 0x20000000;
const SIGCHLD = 17;
const SIGKILL = 9;
const EEXIST = 17;
const EINVAL = 22;

/**
 * A PID namespace of a guest's own, in which it has the numbers that it has at home: what gettid(2) says, what futex words
 * and robust lists hold, and whom its threads signal is right without help. Its init is an idle skeleton; with that, all end.
 */
export class PidSpace {
  private readonly init: number;
  private readonly tracees: Tracees;
  private members = 0;

  private constructor(init: number, tracees: Tracees) {
    this.init = init;
    this.tracees = tracees;
    tracees.claim(init, (s) => {
      if (isEnd(s)) tracees.release(init);
    });
  }

  /** @param parent a stopped skeleton in the engine's own PID namespace */
  static start(tracees: Tracees, parent: number): PidSpace {
    return new PidSpace(forkSkeleton(tracees, parent, Sys.clone, [CLONE_NEWPID | SIGCHLD]), tracees);
  }

  /** A new, stopped skeleton in here. @throws TeselaError E_REFUSED when this node cannot give it that PID */
  spawn(pid: number): number {
    const clone = Buffer.alloc(CLONE_ARGS_BYTES);
    clone.writeBigUInt64LE(BigInt(SIGCHLD), EXIT_SIGNAL_AT);
    clone.writeBigUInt64LE(SKELETON_ARGS + Args.tids, SET_TID_AT);
    clone.writeBigUInt64LE(1n, SET_TID_SIZE_AT);
    try {
      const tids = Buffer.alloc(4);
      // A home may say anything: what is no PID the kernel refuses.
      tids.writeUInt32LE(pid);
      place(this.init, Number(Args.tids), tids);
      const child = forkSkeleton(this.tracees, this.init, Sys.clone3, [place(this.init, Number(Args.clone), clone), CLONE_ARGS_BYTES]);
      this.join();
      return child;
    } catch (e) {
      if (this.members === 0) this.end();
      if (!(e instanceof SysError) || (e.errno !== EINVAL && e.errno !== EEXIST)) throw e;
      const message = `this node cannot give a guest its PID ${pid}; raise kernel.pid_max here`;
      throw new TeselaError("E_REFUSED", message, { reasons: ["pid_max"] }, { cause: e });
    }
  }

  /** One more process lives in here. */
  join(): void {
    this.members++;
  }

  /** A process that lived in here has ended, or is to be ended; with the last the namespace goes. */
  leave(): void {
    if (--this.members === 0) this.end();
  }

  private end(): void {
    libc.kill(this.init, SIGKILL);
  }
}
