import { type Log, TeselaError } from "../base/mod.ts";
import type { Image } from "../image/mod.ts";
import { libc, type Tracees } from "../sys/mod.ts";
import type { CallTrace } from "./call-trace.ts";
import { Guest } from "./guest.ts";
import { TraceeMemory } from "./guest-memory.ts";
import type { GuestOptions, HomeLink, ThreadOptions } from "./guest-types.ts";
import { signalled } from "./guest-signals.ts";
import { Kin } from "./kin.ts";
import { Dispositions } from "./signals.ts";
import { cpuUsed, residentBytes } from "./usage.ts";

const SIGKILL = 9;
const NO_ROUND = -1;

/** A process's user area running here: what its threads have in common. */
export class GuestProcess {
  readonly ticket: number;
  readonly home: number;
  /** As it came. */
  readonly image: Image;
  readonly options: GuestOptions;
  readonly link: HomeLink;
  readonly log: Log;
  readonly tracees: Tracees;
  readonly memory: TraceeMemory;
  readonly dispositions: Dispositions;
  readonly startedAt = Date.now();
  readonly kin = new Kin();
  /** Counts what home has said for it or one of its threads. */
  heardAlone = 0;
  /** By their numbers at home; a program's first thread bears its PID. */
  readonly threads = new Map<number, Guest>();
  readonly leader: Guest;
  /** The deputies' own descriptors. */
  readonly reservedFds: number[];
  /** What its threads block waits in home's queues. */
  readonly signalsAtHome: boolean;
  limits: Image["limits"];
  /** A SIGTRAP of the program's own may wait in a queue, where calls of ours must not let it out. */
  trapPending: boolean;
  /** What writes down the calls of each thread, while somebody watches. */
  watcher: (() => CallTrace) | null = null;
  /** Threads that stand in a call stay there: a move begins. */
  standing = false;
  gone = false;
  /** Home counts its take-overs: what this one wants, or one before, is not wanted any more, whenever it comes. */
  private settled: number;
  private thaws = 0;
  private seq = 0;

  constructor(o: GuestOptions, leader: ThreadOptions) {
    this.ticket = o.ticket;
    this.home = o.home;
    this.image = o.image;
    this.options = o;
    this.link = o.link;
    this.log = o.log;
    this.tracees = o.tracees;
    this.memory = new TraceeMemory(leader.tid);
    this.dispositions = new Dispositions(o.image.sigactions);
    this.limits = o.image.limits;
    this.signalsAtHome = o.image.signalsAtHome;
    this.reservedFds = [...o.reservedFds];
    this.trapPending = o.trapPending;
    this.settled = o.round;
    this.leader = this.add(leader);
  }

  get pid(): number {
    return this.image.pid;
  }
  /** Others write into its memory. */
  get sharesMemory(): boolean {
    return this.options.memory !== null || this.kin.sharing > 0;
  }
  /** Nobody else opens and closes its files. */
  get alone(): boolean {
    return this.threads.size === 1 && !this.sharesMemory;
  }
  /** Changes with everything that may have told it something. */
  get heard(): number {
    return this.heardAlone + this.link.heard;
  }

  add(options: ThreadOptions): Guest {
    const guest = new Guest(this, options);
    this.threads.set(guest.homeTid, guest);
    guest.trace = this.watcher?.() ?? null;
    this.options.register(guest);
    return guest;
  }

  /** A thread has ended by itself. */
  left(guest: Guest): void {
    this.threads.delete(guest.homeTid);
    this.options.unregister(guest);
  }

  /** Its CLOCK_MONOTONIC, in nanoseconds. */
  now(): bigint {
    return globalThis.process.hrtime.bigint() + (this.options.origin.shift?.monotonic ?? 0n);
  }

  /** Calls are numbered through all threads. */
  nextSeq(): number {
    this.seq++;
    return this.seq;
  }

  watch(watcher: (() => CallTrace) | null): void {
    this.watcher = watcher;
    for (const guest of this.threads.values()) guest.trace = watcher?.() ?? null;
  }

  /** CPU time used away from home so far, here and on nodes before, in microseconds. */
  cpuUsed(): Image["cpuUsed"] {
    return cpuUsed(String(this.leader.tid), this.image.cpuUsed);
  }
  /** Resident bytes here. */
  rss(): number {
    return residentBytes(this.leader.tid);
  }
  /** Calls that went home. */
  get forwarded(): number {
    let sum = 0;
    for (const guest of this.threads.values()) sum += guest.forwarded;
    return sum;
  }

  /** A signal was put into the queue of the process, for any of its threads but the one through which it came. */
  signalled(signal: number, except: Guest): void {
    for (const guest of this.threads.values()) if (guest !== except && signalled(guest, signal)) return;
  }

  /**
   * Stops all threads for a move, those too that begin meanwhile.
   * @param round home's take-over that wants it; left out where home does not count
   * @throws TeselaError E_GONE, E_CANTMOVE; E_BUSY when home has let it go on since
   */
  async freeze(round = Number.POSITIVE_INFINITY): Promise<void> {
    const { thaws } = this;
    const mustBe = (): void => {
      if (this.gone) throw new TeselaError("E_GONE", "the guest has ended");
      if (this.thaws !== thaws || round <= this.settled) throw new TeselaError("E_BUSY", "the move that wants the guest to stand is over");
    };
    mustBe();
    for (;;) {
      this.kin.mustBeAlone(this.pid);
      const left = [...this.threads.values()].filter((g) => g.state.kind !== "frozen");
      if (left.length === 0) break;
      // One that is killed goes with all others.
      if (left.some((g) => g.state.kind === "gone")) throw new TeselaError("E_GONE", "the guest has ended");
      await new Promise<void>((resolve, reject) => {
        this.kin.onShare = resolve;
        Promise.all(left.map((g) => g.freeze())).then(() => resolve(), reject);
      });
      mustBe();
    }
    mustBe();
  }

  /**
   * A move is about to begin. A signal that a call of a thread brings is kept at home by now, and the thread must not run on from that call
   * before it hears of it.
   */
  stand(on: boolean): void {
    this.standing = on;
    if (!on) for (const guest of this.threads.values()) guest.guarded(() => guest.stoodLongEnough());
  }

  /** A move has failed: all go on. `round` counts as in {@link freeze}. */
  thaw(round = NO_ROUND): void {
    this.settled = Math.max(this.settled, round);
    this.thaws++;
    this.stand(false);
    for (const guest of this.threads.values()) guest.guarded(() => guest.thaw());
  }

  /** Its end has been seen. */
  over(): void {
    if (this.gone) return;
    this.gone = true;
    this.options.space.leave();
    this.options.memory?.leave();
    this.kin.onOver();
    for (const guest of this.threads.values()) guest.over();
  }

  kill(): void {
    if (this.gone) return;
    libc.kill(this.leader.tid, SIGKILL);
    this.over();
    // Their deaths are still reported to us: a handler must take them so that they are not kept for later.
    for (const { tid } of this.threads.values()) {
      this.tracees.claim(tid, (s) => {
        if (s.kind === "exited" || s.kind === "killed") this.tracees.release(tid);
      });
    }
  }
}
