import { Log, toTeselaError } from "../base/mod.ts";
import { FileHashes } from "../image/mod.ts";
import { Tracees } from "../sys/mod.ts";
import { captureAtHome, readLayout } from "./capture-home.ts";
import { Deputy } from "./deputy.ts";
import { isGone, repeatRegs } from "./freeze.ts";
import { seizeAndFreeze } from "./seize.ts";
import { signalBit } from "./signals.ts";
import { enterAll } from "./test-nodes.ts";
import { NO_CPU } from "./tracks.ts";

const SIGUSR1 = 10;

/**
 * For crash.test.ts: reads `PID how` lines, makes each process a deputy and says so, then waits to be killed. With `enter` it goes no
 * further, with `set-up` not even so far: the deputy has not run yet. With `capture` it has asked the deputy about itself, with `committed` the process counts as away, with `committed-in-call` its
 * deputy waits in a call besides. With `landing` it is to go on with SIGUSR1 blocked, as if it had come home so.
 */
const tracees = new Tracees();
const log = new Log({ level: "error" });
let text = "";
process.stdin.on("data", (part) => {
  text += String(part);
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n")) {
    const [pid, how] = text.slice(0, at).split(" ");
    text = text.slice(at + 1);
    seize(Number(pid), how ?? "").then(
      () => process.stdout.write(`${pid}\n`),
      (e: unknown) => {
        // It has come to its own end first.
        if (!isGone(e) && toTeselaError(e).code !== "E_GONE") throw e;
        process.stdout.write(`${pid}\n`);
      },
    );
  }
});

async function seize(pid: number, how: string): Promise<void> {
  if (how === "set-up") {
    const { leader } = await seizeAndFreeze(tracees, { pid, seized: false });
    Deputy.enter(tracees, leader, log);
    return;
  }
  const { home, frozen } = await enterAll(tracees, pid, log);
  const { deputy } = home.leader;
  if (how !== "enter") await captureAtHome(home, frozen, readLayout(pid, new FileHashes(), home.extents), NO_CPU);
  if (how.startsWith("committed")) deputy.setCommitted(true);
  // pause(2), with all signals blocked.
  if (how === "committed-in-call") void deputy.call(34).catch(() => {});
  if (how === "landing") {
    deputy.setCommitted(true);
    const { leader } = frozen;
    deputy.setFrame({ ...leader, regs: repeatRegs(leader), sigmask: leader.sigmask | signalBit(SIGUSR1) });
    deputy.setCommitted(false);
  }
}
