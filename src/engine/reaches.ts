import { TeselaError } from "../base/mod.ts";
import type { HomeProcess } from "./home-process.ts";
import type { HomeThread } from "./home-thread.ts";
import { Sys } from "./numbers.ts";

/** process_vm_readv(2), process_vm_writev(2): they work on the memory of another process, which is not here while that is away. */
const ON_OTHERS: ReadonlySet<number> = new Set([Sys.processVmReadv, Sys.processVmWritev]);
/** The process is the first argument, behind the number. */
const NR_AT = 0;
const PID_AT = 8;

const EFAULT = -14n;
/** Such a call waits for nobody: one that takes so long has a caller that was stopped in the middle of it. */
const LONG_MS = 1000;

/** One such call, from before it is made until its result is here. */
export interface Reach extends Disposable {
  /** Whose memory is not here now, or is about to be moved: the call was only tried. Null: it is made. */
  readonly other: HomeProcess | null;
}

/** Whether the kernel would have allowed it: nobody brings home whom he may not look at. */
export const isAllowed = (result: bigint): boolean => result >= 0n || result === EFAULT;

/**
 * Calls of deputies on the memory of others. Each is done once, for the other sees what is written and may answer: what is about a process that is away
 * just tries whether the kernel allows it, by reading, and is made when that is home; and nobody leaves home while one is being made.
 */
export class Reaches {
  /** Threads of this home that are away, or about to be. */
  private readonly away: ReadonlyMap<number, HomeThread>;
  /** How many calls are being made, by the thread they name. */
  private readonly underWay = new Map<number, number>();
  private waiting: (() => void)[] = [];

  constructor(away: ReadonlyMap<number, HomeThread>) {
    this.away = away;
  }

  /** A call is about to be made; becomes the trial where it is to be that. Null for all calls but those. */
  begin(request: Buffer): Reach | null {
    if (!ON_OTHERS.has(Number(request.readBigInt64LE(NR_AT)))) return null;
    const tid = Number(request.readBigInt64LE(PID_AT));
    const other = this.processOf(tid);
    if (other !== null) {
      request.writeBigInt64LE(BigInt(Sys.processVmReadv), NR_AT);
      return { other, [Symbol.dispose]: () => undefined };
    }
    this.underWay.set(tid, (this.underWay.get(tid) ?? 0) + 1);
    return { other, [Symbol.dispose]: () => this.end(tid) };
  }

  /**
   * Waits until no call is being made on these threads, which are among those that are away by now: none begins any more.
   * @throws TeselaError E_BUSY
   */
  async over(tids: Iterable<number>): Promise<void> {
    const all = [...tids];
    const end = performance.now() + LONG_MS;
    while (all.some((tid) => this.underWay.has(tid))) {
      const left = end - performance.now();
      if (left <= 0)
        throw new TeselaError("E_BUSY", `another process is just reading or writing the memory of process ${all[0]}; try again`);
      await this.change(left);
    }
  }

  private async change(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.waiting.push(resolve);
      timer = setTimeout(resolve, ms);
    });
    clearTimeout(timer);
  }

  private processOf(tid: number): HomeProcess | null {
    for (const { tid: its, process } of this.away.values()) if (its === tid && process.phase !== "gone") return process;
    return null;
  }

  private end(tid: number): void {
    const left = (this.underWay.get(tid) ?? 1) - 1;
    if (left > 0) this.underWay.set(tid, left);
    else this.underWay.delete(tid);
    for (const wake of this.waiting.splice(0)) wake();
  }
}
