import type { PeerControl, NodeStatus } from "./peer.ts";

/** Who does not answer so soon is taken for what gossip says. */
const ANSWER_MS = 500;
/** So many are asked at once, those with most memory: in a large cluster one of them has room, or hardly anybody has. */
const MOST_ASKED = 8;
/** Nobody is asked again before. */
const AGAIN_MS = 300;

/** One who may be asked. */
export interface Askable {
  readonly id: number;
  readonly memTotal: number;
  readonly control: Pick<PeerControl, "status">;
}

interface News {
  readonly status: NodeStatus;
  /** Milliseconds of the clock of {@link FreshNews}. */
  readonly heard: number;
}

/**
 * What other nodes say of themselves when they are asked. Gossip tells of a node's memory a second late, and whoever is about to run out of it cannot
 * wait to hear that there is room elsewhere.
 */
export class FreshNews {
  private readonly clock: () => number;
  private readonly known = new Map<number, News>();
  private readonly asked = new Map<number, number>();

  constructor(clock: () => number = () => performance.now()) {
    this.clock = clock;
  }

  /** What a node has said later than `heard`; null when nothing. */
  of(id: number, heard: number): News | null {
    const news = this.known.get(id);
    if (!news) return null;
    if (news.heard > heard) return news;
    this.known.delete(id);
    return null;
  }

  /** Resolves to whether somebody has said something. Never rejects. */
  async ask(nodes: readonly Askable[]): Promise<boolean> {
    const now = this.clock();
    const due = nodes.filter(({ id }) => now - (this.asked.get(id) ?? Number.NEGATIVE_INFINITY) >= AGAIN_MS);
    const chosen = [...due].sort((a, b) => b.memTotal - a.memTotal).slice(0, MOST_ASKED);
    for (const { id } of chosen) this.asked.set(id, now);
    const answers = await Promise.allSettled(
      chosen.map(async ({ id, control }) => {
        const status = await control.status(AbortSignal.timeout(ANSWER_MS));
        this.known.set(id, { status, heard: this.clock() });
      }),
    );
    return answers.some((a) => a.status === "fulfilled");
  }
}
