import { pendingSignals } from "./freeze.ts";
import { signalOf } from "./guest-build.ts";
import { signalBit } from "./signals.ts";
import { addSignal } from "./ticks.ts";

const SIGCONT = 18;
const SIGSTOP = 19;

/** Signals that came while a process was on the move, kept until that is over. */
export class Postponed {
  private infos: Uint8Array[] = [];
  stopRequested: boolean;

  constructor(stopRequested: boolean) {
    this.stopRequested = stopRequested;
  }

  /** A stop and a continuation undo each other, as in the kernel's queue (signal(7)). */
  keep(info: Uint8Array): void {
    const signal = signalOf(info);
    if (signal === SIGSTOP || signal === SIGCONT) {
      this.stopRequested = signal === SIGSTOP;
      this.infos = this.infos.filter((i) => signalOf(i) !== SIGCONT);
    }
    if (signal !== SIGSTOP) addSignal(this.infos, Buffer.from(info));
  }

  /** All of them but a stop, oldest first; they are kept no longer. */
  take(): Uint8Array[] {
    return this.infos.splice(0);
  }

  /** Whether a SIGSTOP still stands: a later SIGCONT, blocked with all signals, undoes it. Asked once. */
  takeStop(pid: number): boolean {
    const wanted = this.stopRequested && (pendingSignals(pid) & signalBit(SIGCONT)) === 0n;
    this.stopRequested = false;
    return wanted;
  }
}
