import { libc } from "../sys/mod.ts";
import type { Deputy } from "./deputy.ts";
import { signalOf } from "./guest-build.ts";
import { Sys } from "./numbers.ts";

const SIGCHLD = 17;
const SIGKILL = 9;
const SI_PID = 16;
const WALL = 0x40000000;

/** Children of a process whose guests could not be made: they end here, and the program never hears of them. */
export class Stillborn {
  private readonly pids = new Set<number>();

  /** Ends a child, and waits for it in its parent's place. */
  async bury(parent: Deputy, pid: number): Promise<void> {
    this.pids.add(pid);
    libc.kill(pid, SIGKILL);
    await parent.call(Sys.wait4, pid, 0, WALL, 0);
  }

  /** Whether a signal tells of the end of one of them, which it does once. */
  tellsOf(info: Uint8Array): boolean {
    if (signalOf(info) !== SIGCHLD) return false;
    return this.pids.delete(Buffer.from(info.buffer, info.byteOffset, info.length).readInt32LE(SI_PID));
  }
}
