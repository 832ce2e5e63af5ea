import { setTimeout as sleep } from "node:timers/promises";
import { type Log, TeselaError, toTeselaError } from "../base/mod.ts";
import type { Peer } from "./config.ts";
import type { DialPeer, NodeStatus, PeerControl } from "./peer.ts";
import type { NodeState } from "./shapes.ts";

/**
 * A dead peer is seen after at most INTERVAL + ANSWER: 2.5 s with these. Shorter times tell sooner and mistake a busy node for a
 * dead one; longer ones are the other way round.
 */
export const INTERVAL_MS = 1000;
export const ANSWER_MS = 1500;
/** For the TLS handshake of a new stream; a silent network drops it. */
export const DIAL_MS = 2000;

export interface Member {
  readonly peer: Peer;
  readonly state: NodeState;
  /** The last that was heard; null before the first time. */
  readonly status: NodeStatus | null;
  /** When that was, in milliseconds of this process's own clock. */
  readonly heard: number | null;
  /** Milliseconds of the Unix epoch at which the state began. */
  readonly since: number;
}

interface Watch {
  peer: Peer;
  state: NodeState;
  status: NodeStatus | null;
  heard: number | null;
  since: number;
  control: PeerControl | null;
  readonly stop: AbortController;
  done: Promise<void>;
}

export interface Times {
  readonly intervalMs: number;
  readonly answerMs: number;
  readonly dialMs: number;
}
export const TIMES: Times = { intervalMs: INTERVAL_MS, answerMs: ANSWER_MS, dialMs: DIAL_MS };

/** Keeps a control stream to every other node, and so knows who is up. */
export class Members implements AsyncDisposable {
  private readonly self: number;
  private readonly dial: DialPeer;
  private readonly log: Log;
  private readonly times: Times;
  private readonly watches = new Map<number, Watch>();

  constructor(self: number, dial: DialPeer, log: Log, times: Times = TIMES) {
    this.self = self;
    this.dial = dial;
    this.log = log;
    this.times = times;
  }

  /** The membership as it is now; nodes that are new are dialled, those that are gone or elsewhere now are let go. */
  set(peers: readonly Peer[]): void {
    const wanted = new Map(peers.filter((p) => p.id !== this.self).map((p) => [p.id, p]));
    for (const [id, w] of this.watches) {
      const now = wanted.get(id);
      if (now && now.address === w.peer.address && now.port === w.peer.port) {
        w.peer = now;
        wanted.delete(id);
        continue;
      }
      w.stop.abort();
      this.watches.delete(id);
    }
    for (const peer of wanted.values()) {
      const watch: Watch = {
        peer,
        state: "down",
        status: null,
        heard: null,
        since: Date.now(),
        control: null,
        stop: new AbortController(),
        done: Promise.resolve(),
      };
      watch.done = this.watch(watch);
      this.watches.set(peer.id, watch);
    }
  }

  list(): Member[] {
    return [...this.watches.values()].sort((a, b) => a.peer.id - b.peer.id);
  }

  /** By number, name or address. */
  find(text: string): Member | undefined {
    return this.list().find(({ peer }) => String(peer.id) === text || peer.name === text || peer.address === text);
  }

  /** @throws TeselaError E_NONODE, E_NODE_DOWN */
  control(id: number): PeerControl {
    const watch = this.watches.get(id);
    if (!watch) throw new TeselaError("E_NONODE", `there is no node ${id}`, { node: id });
    if (!watch.control || watch.state === "down") throw nodeDown(watch.peer);
    return watch.control;
  }

  /** Those that are up, to be asked all at once. */
  controls(): PeerControl[] {
    return [...this.watches.values()].flatMap((w) => (w.state === "up" && w.control ? [w.control] : []));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.watches.values()];
    for (const w of all) w.stop.abort();
    await Promise.all(all.map((w) => w.done));
  }

  private async watch(w: Watch): Promise<void> {
    const { signal } = w.stop;
    while (!signal.aborted) {
      try {
        w.control = await this.dial(w.peer, AbortSignal.any([signal, AbortSignal.timeout(this.times.dialMs)]));
        while (!signal.aborted) {
          w.status = await w.control.status(AbortSignal.any([signal, AbortSignal.timeout(this.times.answerMs)]));
          w.heard = performance.now();
          this.mark(w, "up");
          await sleep(this.times.intervalMs, undefined, { signal });
        }
      } catch (e) {
        if (!signal.aborted) this.mark(w, "down", e);
      } finally {
        w.control?.close();
        w.control = null;
      }
      await sleep(this.times.intervalMs, undefined, { signal }).catch(() => undefined);
    }
  }

  private mark(w: Watch, state: NodeState, why?: unknown): void {
    if (w.state === state) return;
    w.state = state;
    w.since = Date.now();
    this.log.info(`node ${w.peer.id} is ${state}`, {
      node: w.peer.id,
      name: w.peer.name,
      ...(why !== undefined && { why: toTeselaError(why).message }),
    });
  }
}

export const nodeDown = (peer: Peer): TeselaError =>
  new TeselaError("E_NODE_DOWN", `node ${peer.id} (${peer.name}, ${peer.address}) is down`, { node: peer.id });
