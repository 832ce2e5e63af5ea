import { nodeId, TeselaError } from "../base/mod.ts";
import { authorize, type Caller } from "./authorize.ts";
import type { Levelled } from "./levelled.ts";
import type { Members } from "./members.ts";
import { type Moves, readPid } from "./moves.ts";
import { mustKnow, parseMask } from "./node-mask.ts";
import type { EngineRow, MaskAsk, Masked } from "./shapes.ts";

export interface MaskParts {
  readonly self: number;
  readonly levelled: Levelled;
  readonly members: Members;
  readonly moves: Pick<Moves, "migrate">;
  readonly rows: () => Promise<EngineRow[]>;
}

/**
 * Says anew which nodes a running process may be sent to (openMosix: /proc/PID/mignodes). Its home keeps that. One that runs where it may not be any
 * more comes home at once, or says why it does not.
 * @throws TeselaError
 */
export async function setMask(p: MaskParts, ask: MaskAsk, caller: Caller): Promise<Masked> {
  const { home, pid } = readPid(ask.pid);
  if (home !== null && home !== p.self) {
    if (caller.via !== null) throw new TeselaError("E_PROTOCOL", `process ${ask.pid} is not of this node (${p.self})`);
    return (await p.members.control(home).question("POST /mask", ask, caller)) as Masked;
  }
  authorize(caller, pid);
  if (ask.mask !== null) mustKnow(ask.mask, p.members.numbers());
  if (!p.levelled.discover(pid)) {
    const hint = "start it with 'tesela run', or from 'tesela shell'";
    throw new TeselaError("E_USAGE", `process ${pid} is not under load levelling, and has no mask`, { pid, hint });
  }
  p.levelled.setMask(pid, ask.mask ?? undefined);
  const node = (await p.rows()).find((r) => r.role === "home" && r.pid === pid)?.node ?? p.self;
  const stays = node === p.self || ask.mask === null || parseMask(ask.mask).allows(nodeId(node));
  if (!stays) await p.moves.migrate({ pid: `${p.self}:${pid}`, target: "home" }, caller);
  return { pid, mask: ask.mask, node: stays ? node : p.self, cameHome: !stays };
}
