import { type Paths, TeselaError } from "../base/mod.ts";
import { type Entry, holdsCa } from "../cluster/mod.ts";
import { type Caller, ROOT } from "./authorize.ts";
import type { Belonging } from "./belonging.ts";
import type { NodeConfig, Peer } from "./config.ts";
import { concerns, type Emptying } from "./emptying.ts";
import type { Routes } from "./http.ts";
import type { Roster } from "./roster.ts";
import type { ProcessRow } from "./shapes.ts";

interface Parts {
  readonly paths: Paths;
  readonly config: NodeConfig;
  readonly roster: Roster;
  readonly belonging: Pick<Belonging, "depart" | "reach">;
  readonly emptying: Emptying;
  readonly ps: () => Promise<ProcessRow[]>;
}

/**
 * How nodes go: `POST /remove` of another one, for good, and `POST /leave` of this one. Root's business. Processes are sent home before; by force a
 * node is out at once, whatever becomes of these.
 */
export function departures(p: Parts): Routes {
  return {
    "POST /remove": async (body, caller): Promise<Entry> => {
      mustBeRoot(caller, "remove a node");
      const { node, force } = removeAsk(body);
      const peer = p.roster.find(node);
      if (peer.id === p.config.id) throw new TeselaError("E_USAGE", "a node does not remove itself: tesela leave");
      // That the key is not here shall be known before anything else.
      p.roster.ca();
      if (!force) await makeUnused(p, peer);
      await p.belonging.reach(peer.id);
      return p.roster.say(peer, "removed");
    },
    "POST /leave": async (body, caller): Promise<{ id: number }> => {
      mustBeRoot(caller, "take this node out");
      if ((body as { force?: unknown } | null)?.force !== true) {
        if (holdsCa(p.paths.identity))
          throw new TeselaError(
            "E_REFUSED",
            "this node holds the cluster's CA key: copy identity/ca.key to another node first, or --force",
          );
        await makeUnused(p, p.config);
      }
      await p.belonging.depart();
      return { id: p.config.id };
    },
  };
}

function mustBeRoot(caller: Caller, what: string): void {
  if (caller.uid !== ROOT) throw new TeselaError("E_PERM", `only root may ${what}`);
}

/** @throws E_BUSY when processes that do not move are still there; the node is then as it was */
async function makeUnused({ emptying, ps }: Parts, peer: Peer): Promise<void> {
  if (!(await ps()).some((row) => concerns(peer.id, row))) return;
  const undo = await emptying.empty(peer.id);
  try {
    mustBeUnused(peer, await ps());
  } catch (e) {
    await undo();
    throw e;
  }
}

/** @throws E_BUSY when processes of other nodes run there, or some of its own elsewhere */
function mustBeUnused({ id, name }: Peer, rows: readonly ProcessRow[]): void {
  const pids = rows.filter((row) => concerns(id, row)).map((r) => r.cpid);
  if (pids.length === 0) return;
  const some = pids.slice(0, 5).join(" ") + (pids.length > 5 ? " ..." : "");
  const what = `processes run on node ${id} (${name}) or come from it: ${some}`;
  throw new TeselaError("E_BUSY", `${pids.length} ${what}; they do not move home now: see the log, or lose them with --force`, { pids });
}

function removeAsk(body: unknown): { node: string; force: boolean } {
  const { node, force = false } = (body ?? {}) as Record<string, unknown>;
  if (typeof node !== "string" || typeof force !== "boolean")
    throw new TeselaError("E_USAGE", 'POST /remove: want {"node":"3","force":false}');
  return { node, force };
}
