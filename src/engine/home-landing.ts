import { NR, SEEK } from "../abi/mod.ts";
import { assert, least } from "../base/mod.ts";
import type { ThreadImage } from "../image/mod.ts";
import { Reg, Regs } from "../sys/mod.ts";
import { readClocks } from "./clocks.ts";
import { restOfSleep } from "./freeze.ts";
import { endWrite } from "./partial-writes.ts";
import { Restart } from "./restarts.ts";
import type { HomeThread } from "./home-thread.ts";
import { leftAtHome } from "./wait-ends.ts";

/** How a thread that has come home goes on: in a call that only home's kernel can finish, in an interrupted one, or behind one. */
export async function howItGoesOn(home: HomeThread, thread: ThreadImage): Promise<{ regs: Regs; restart: { nr: number } | null }> {
  const regs = Regs.from(thread.regs);
  const { restart } = thread;
  tellLeft(home, regs, thread);
  if (thread.position) await home.deputy.call(NR.lseek, thread.position.fd, thread.position.at, SEEK.SET);
  // As if it had been stopped and continued.
  if (thread.written) assert(endWrite(regs, thread.written), "a write of which a part is written is not made again");
  if (!restart) return { regs, restart };
  if (restart.nr === NR.poll) {
    // It would go on with the deputy's copy of its descriptors, which is given up: it begins anew, or ends for a handler.
    regs.set(Reg.origRax, BigInt(NR.poll));
    regs.set(Reg.rax, Restart.NOHAND);
    return { regs, restart: null };
  }
  const rest = restOfSleep(restart.nr, regs.args);
  if (!rest) return { regs, restart };
  const result = await home.beginAndCut(restart.nr, rest);
  if (result === Restart.BLOCK) return { regs, restart };
  regs.set(Reg.rax, result);
  return { regs, restart: null };
}

/** Where the kernel leaves in the program's memory how much of a limit is left, it waits for that: the move has taken its time as well. */
function tellLeft({ deputy }: HomeThread, regs: Regs, { waitEnd }: ThreadImage): void {
  if (!waitEnd) return;
  const left = waitEnd.end - readClocks().monotonic;
  const told = leftAtHome(regs, waitEnd.nr, left - least(left, 0n));
  try {
    if (told) deputy.poke(told.at, told.bytes);
  } catch {
    // It cannot be written to: the kernel leaves it as it is, too (poll_select_finish).
  }
}
