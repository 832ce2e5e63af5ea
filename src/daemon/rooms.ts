import { existsSync } from "node:fs";
import type { BalanceKnobs, NodeView } from "../balance/mod.ts";
import { TeselaError } from "../base/mod.ts";
import { authorize, type Caller, ROOT } from "./authorize.ts";
import { type Members, nodeDown } from "./members.ts";
import { readPid } from "./moves.ts";
import { mustKnow, parseMask } from "./node-mask.ts";
import { Queue, type Want } from "./queue.ts";
import type { RoomAnswer, RoomAsk, RoomHere } from "./shapes.ts";

/** What a node has said of its room holds for so long; whoever has none is not asked again before. */
const GOOD_MS = 1000;
const ANSWER_MS = 2000;
/** What a node asks for itself. */
const AS_ROOT = { uid: ROOT, gid: ROOT, via: null };

export interface RoomParts {
  readonly self: { readonly id: number; readonly name: string };
  readonly members: Members;
  /** All nodes as they are now, this one first; of the others as far as they have told. */
  readonly places: () => readonly NodeView[];
  readonly rss: (pid: number) => number;
  readonly knobs: () => BalanceKnobs;
}

/** Room for programs that ask for it before they begin: `tesela run -m` and `-q`. */
export class Rooms {
  private readonly p: RoomParts;
  private readonly queue: Queue;
  /** What nodes have said that were asked for room. */
  private readonly said = new Map<number, { readonly at: number; readonly view: Partial<NodeView> }>();

  constructor(parts: RoomParts) {
    this.p = parts;
    this.queue = new Queue({ self: parts.self.id, alive: (pid) => existsSync(`/proc/${pid}`), rss: parts.rss });
  }

  /** @throws TeselaError E_NOMEM, E_NONODE, E_NODE_DOWN, E_REFUSED, E_PERM */
  async answer(ask: RoomAsk, caller: Caller): Promise<RoomAnswer> {
    const want = this.want(ask, caller);
    const refused = new Set<number>();
    for (;;) {
      const now = performance.now();
      const nodes = this.p.places().map((n) => ({ ...n, ...this.fresh(n.id, now) }));
      const knobs = this.p.knobs();
      const answer = ask.queue ? this.queue.ask(want, nodes, now, knobs) : this.queue.take(want, nodes, now, knobs);
      if (answer.node === null || answer.node === this.p.self.id || (await this.hasRoom(answer.node, want, refused))) return answer;
      this.queue.takeBack(want.pid);
      refused.add(answer.node);
    }
  }

  private want(ask: RoomAsk, caller: Caller): Want {
    const { pid } = readPid(String(ask.pid));
    authorize(caller, pid);
    const node = ask.node === undefined ? null : this.named(ask.node, ask.queue);
    for (const listed of [ask.list, ask.mask]) if (listed !== undefined) mustKnow(listed, this.p.members.numbers());
    const list = ask.list === undefined ? null : parseMask(ask.list);
    const mask = ask.mask === undefined ? null : parseMask(ask.mask);
    const { id: self } = this.p.self;
    return {
      pid,
      // Without a queue only memory is asked for: everybody may have a part of a CPU.
      needs: { tasks: ask.queue ? 1 : 0, rss: ask.memory },
      may: (n) => (node === null || node === n) && (list === null || list.allows(n)) && (mask === null || n === self || mask.allows(n)),
      best: ask.best === true,
      waitedMs: ask.waitedMs,
    };
  }

  /** It alone knows what it is now: what is told is a second old, and of several that look at the same news each takes it for free. */
  private async hasRoom(node: number, { needs }: Want, refused: ReadonlySet<number>): Promise<boolean> {
    let view: Partial<NodeView> = { accepts: false };
    try {
      const signal = AbortSignal.timeout(ANSWER_MS);
      const said = (await this.p.members.control(node).question("POST /room/here", needs, AS_ROOT, signal)) as RoomHere;
      if (said.refusal === null) return true;
      const { load, memFree } = said;
      // Its numbers tell why. Where they do not (it takes nobody, or has other knobs), it is not asked a third time.
      if (load !== undefined && memFree !== undefined && !refused.has(node)) view = { load, memFree, util: 1 };
    } catch (e) {
      // Who does not answer has no room, for now.
      if (!(e instanceof TeselaError)) throw e;
    }
    this.said.set(node, { at: performance.now(), view });
    return false;
  }

  private fresh(node: number, now: number): Partial<NodeView> {
    const said = this.said.get(node);
    if (said && now - said.at < GOOD_MS) return said.view;
    this.said.delete(node);
    return {};
  }

  /** Who waits may wait for one that is down. */
  private named(text: string, waits: boolean): number {
    const { self, members } = this.p;
    if (text === "home" || text === String(self.id) || text === self.name) return self.id;
    const member = members.find(text);
    if (!member) throw new TeselaError("E_NONODE", `there is no node '${text}'`, { node: text });
    if (!waits && member.state === "down") throw nodeDown(member.peer);
    return member.peer.id;
  }
}
