import { TeselaError } from "../base/mod.ts";
import { signalOf } from "./guest-build.ts";
import type { HomeProcess } from "./home-process.ts";
import { putFirst, putOlder } from "./home-queue.ts";
import type { HomeThread } from "./home-thread.ts";
import { signalBit } from "./signals.ts";

/** Home's side of a process whose blocked signals wait here (src/engine/signals-at-home.ts): its deputies bear its threads' masks. */
export class BorneSignals {
  private readonly process: HomeProcess;

  constructor(process: HomeProcess) {
    this.process = process;
  }

  /** Signals that were kept go into their queues: what the thread blocks to stay there, the rest to come first. */
  async putBelow(thread: HomeThread): Promise<void> {
    const { deputy, postponed } = thread;
    const { log } = this.process;
    const kept = postponed.take();
    const let_in = kept.filter((info) => !thread.blocks(info));
    await putFirst(deputy, deputy, let_in, [], log, thread.borne);
    await putOlder(
      deputy,
      kept.filter((info) => thread.blocks(info)),
      log,
    );
  }

  /** The same while the process is away; its calls wait. On the move, that is done where it goes on. */
  settle(thread: HomeThread): void {
    const { process } = this;
    const work = async (): Promise<void> => {
      if (process.phase !== "away" || thread.over) return;
      await thread.setMask(thread.borne);
      await this.putBelow(thread);
    };
    process.beforeCalls(work).catch((e: unknown) => process.kill(`its signals could not be put back: ${String(e)}`));
  }

  /** Signals that a guest's thread blocks, of which home had told it. */
  stay(thread: HomeThread, infos: readonly Uint8Array[]): void {
    const { process } = this;
    for (const info of infos) thread.postponed.keep(info);
    thread.bear(thread.borne | bits(infos));
    // Where the process has not begun to take leave of home yet, that sees to it.
    if (process.working > 0 || !process.departing) this.settle(thread);
  }

  /**
   * A guest's thread does not block more than this any more; `back` are signals that it has come to block.
   * @throws TeselaError E_BUSY: signals that met a move are kept, and the guest must not run before it hears of them
   */
  async letIn(thread: HomeThread, mask: bigint, back: readonly Uint8Array[]): Promise<void> {
    const { process } = this;
    await process.mustHaveDeparted();
    thread.bear(mask | bits(back));
    // Its kernel delivers what that lets in before this is over, and the guest is asked about it.
    await thread.setMask(thread.borne);
    if (process.phase !== "away") throw new TeselaError("E_BUSY", "the process is being moved");
    for (const info of back) thread.postponed.keep(info);
    if (back.length > 0) this.settle(thread);
  }
}

const bits = (infos: readonly Uint8Array[]): bigint => infos.reduce((set, info) => set | signalBit(signalOf(info)), 0n);
