import type { ThreadImage } from "../image/mod.ts";
import { Reg, Regs } from "../sys/mod.ts";
import { restOfSleep } from "./freeze.ts";
import { Restart } from "./restarts.ts";
import type { HomeThread } from "./home-thread.ts";

const POLL = 7;

/** How a thread that has come home goes on: in a call that only home's kernel can finish, in an interrupted one, or behind one. */
export async function howItGoesOn(home: HomeThread, thread: ThreadImage): Promise<{ regs: Regs; restart: { nr: number } | null }> {
  const regs = Regs.from(thread.regs);
  const { restart } = thread;
  if (!restart) return { regs, restart };
  if (restart.nr === POLL) {
    // It would go on with the deputy's copy of its descriptors, which is given up: it begins anew, or ends for a handler.
    regs.set(Reg.origRax, BigInt(POLL));
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
