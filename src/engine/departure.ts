import { TeselaError, toTeselaError } from "../base/mod.ts";
import type { Image } from "../image/mod.ts";
import type { PeerAddress } from "../io/mod.ts";
import { proc, ptrace } from "../sys/mod.ts";
import type { Head } from "../wire/mod.ts";
import { Census } from "./census.ts";
import { captureAtHome, type Layout, readChangingLayout, readLayout } from "./capture-home.ts";
import { type Inbox, offer, sendFrozen, type Source } from "./carry.ts";
import { readClocks } from "./clocks.ts";
import { Deputy } from "./deputy.ts";
import { neededFeatures } from "./features.ts";
import { step } from "./faults.ts";
import { type FrozenProcess, isGone, threadsOf } from "./freeze.ts";
import { whatHappened } from "./guard.ts";
import { Group } from "./group.ts";
import type { HomeProcess } from "./home-process.ts";
import { landingsOf } from "./landing.ts";
import type { Phase } from "./home-types.ts";
import type { Link } from "./links.ts";
import { all, fewAtOnce, letRun, mayMove, type Moved, movedAway, OPEN_MS, type Request } from "./mover.ts";
import { forget } from "./reclaim.ts";
import { refusals, refuse } from "./refusals.ts";
import { letAllGo, seizeAndFreeze } from "./seize.ts";
import { alone, NO_GUARD, refuseFor, type Sharers, sharersOf } from "./sharers.ts";
import { readsSignals } from "./signals-at-home.ts";
import type { Track } from "./tracks.ts";

/** One of those that leave together. */
interface Traveller {
  readonly track: Track;
  readonly ticket: number;
  readonly inbox: Inbox;
  readonly source: Source;
  frozen: FrozenProcess | null;
  home: HomeProcess | null;
}

/** Ready to be sent. */
interface Ready {
  readonly traveller: Traveller;
  readonly home: HomeProcess;
  readonly image: Image;
  readonly layout: Layout;
}

/**
 * A process leaves home, and with it those that share its memory: all of them or none. Until the other node has confirmed, they are
 * whole here. @throws TeselaError with the reason; they then run at home as if nothing had been
 */
export async function depart(request: Request, to: PeerAddress): Promise<Moved> {
  const link = await request.mover.links.get(to, OPEN_MS);
  const departure = new Departure(request, to, link);
  try {
    return await departure.run();
  } catch (e) {
    // Once their guests run there is no way back.
    if (!departure.over) await departure.undo(e);
    throw e;
  }
}

class Departure {
  private readonly request: Request;
  private readonly to: PeerAddress;
  private readonly link: Link;
  private readonly travellers: Traveller[] = [];
  private readonly census = new Census();
  private group: Group | null = null;
  /** The other node runs them. */
  over = false;

  constructor(request: Request, to: PeerAddress, link: Link) {
    this.request = request;
    this.to = to;
    this.link = link;
  }

  async run(): Promise<Moved> {
    const { mover, lead } = this.request;
    const { carry, log } = mover.parts;
    // At its first instruction it shares nothing yet.
    let sharers: Sharers = lead.seized ? alone(lead.pid) : await sharersOf(lead.pid, this.census);
    for (const pid of sharers.pids) await this.invite(pid, sharers);
    const start = performance.now();
    for (;;) {
      await this.freeze();
      if (sharers.objects.size === 0) break;
      // Before it stood one may have had children.
      this.census.forget();
      sharers = await sharersOf(lead.pid, this.census);
      const late = sharers.pids.filter((pid) => !this.travellers.some((t) => t.track.pid === pid));
      if (late.length === 0) break;
      for (const pid of late) await this.invite(pid, sharers);
    }
    const ready = await this.capture(sharers);
    const [first] = ready;
    const bytes = await fewAtOnce(ready, ({ traveller, image, layout }) => {
      const objects = traveller === first?.traveller ? (this.group?.objects ?? []) : [];
      return sendFrozen(traveller.inbox, traveller.source, { image, layout, objects }, carry);
    });
    await step(carry.faults, "go");
    for (const { home } of ready) home.mustLive();
    for (const { home, traveller } of ready) {
      mover.watch(traveller.track, home);
      home.host = this.link;
      home.phase = "away";
      home.prepareToDepart();
    }
    const keep = this.group?.isNamed ? this.groupName : null;
    if (this.group && keep !== null) this.group.stay = { link: this.link, name: keep };
    await letRun(mover, this.link, ready, mover.parts.node, keep);
    const freezeMs = performance.now() - start;
    this.link.mustLive();
    this.over = true;
    // One may have been killed since.
    const living = ready.filter(({ home }) => home.phase !== "gone");
    for (const { home, traveller } of living) {
      traveller.track.process = home;
      this.group?.add(home);
    }
    if (living.length === 0) this.giveUpGroup();
    const left = await Promise.allSettled(ready.map(({ home, image }) => home.depart(this.link, image)));
    this.group?.drop(log);
    for (const { inbox } of this.travellers) mover.lines.keep(inbox, this.to);
    return movedAway(ready, left, "it could not take leave of its home", {
      tracks: living.map(({ traveller }) => traveller.track),
      bytes: bytes.reduce((sum, n) => sum + n, 0),
      freezeMs,
    });
  }

  /** Nobody is left who shares anything. */
  private giveUpGroup(): void {
    if (this.group?.stay) forget(this.request.mover, this.group.stay);
    this.group?.[Symbol.dispose]();
  }

  /** Does something for one of them; one that has ended meanwhile does not hold up the others. */
  private async unlessGone(pid: number, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (e) {
      if (pid === this.request.lead.pid || whatHappened(e, pid).code !== "E_GONE") throw e;
      const at = this.travellers.findIndex((t) => t.track.pid === pid);
      if (at >= 0) this.travellers.splice(at, 1)[0]?.inbox.channel.close();
    }
  }

  /** Asks the node whether it takes a process. @throws TeselaError */
  private async ask(pid: number, { objects }: Sharers): Promise<void> {
    const { mover, lead, claims, uid } = this.request;
    const { carry } = mover.parts;
    const track = mover.tracks.of(pid);
    claims.take(track);
    if (track.process) refuseFor(lead.pid, pid, objects, ["away"]);
    if (pid !== lead.pid && !mayMove(uid, pid)) refuseFor(lead.pid, pid, objects, ["other_user"]);
    if (!track.seized) {
      const reasons = refusals(pid, false);
      if (reasons.length > 0 && pid !== lead.pid) refuseFor(lead.pid, pid, objects, reasons);
      if (reasons.length > 0) refuse(pid, reasons);
    }
    const ticket = mover.ticket();
    await mover.hashes.learn(pid);
    const before = readChangingLayout(pid, mover.hashes, () => ({ name: "", size: 0 }));
    const source = { task: pid, offer: this.offerOf(pid, ticket, before, objects.size > 0), files: before.files };
    const inbox = await mover.lines.begin(this.to, async (line) => void (await offer(line, source, carry)));
    this.travellers.push({ track, ticket, inbox, source, frozen: null, home: null });
  }

  private offerOf(pid: number, ticket: number, layout: Layout, shares: boolean): Head<"offer"> {
    const { node, facts } = this.request.mover.parts;
    return {
      ticket,
      home: node,
      pid,
      vdso: layout.vdso?.hash ?? null,
      boot: facts.boot,
      ...neededFeatures(pid, facts.cpu),
      ...(shares && { group: this.groupName }),
      bytes: proc.readStat(pid).rssPages * PAGE,
      files: [...layout.files.values()].map(({ hash, size }) => ({ hash, size })),
    };
  }

  private name: string | null = null;
  /** No other departure has it. */
  private get groupName(): string {
    this.name ??= `${this.request.mover.ticket()}`;
    return this.name;
  }

  private async invite(pid: number, sharers: Sharers): Promise<void> {
    await this.unlessGone(pid, () => this.ask(pid, sharers));
  }

  private async freeze(): Promise<void> {
    const { tracees } = this.request.mover.parts;
    const running = this.travellers.filter((t) => t.frozen === null);
    await all(
      running.map((t) =>
        this.unlessGone(t.track.pid, async () => {
          t.frozen = await seizeAndFreeze(tracees, t.track);
        }),
      ),
    );
  }

  /** Makes deputies of them, and describes them. */
  private async capture(sharers: Sharers): Promise<Ready[]> {
    const { objects } = sharers;
    const { mover } = this.request;
    const { carry, tracees, log } = mover.parts;
    for (const { track } of this.travellers) {
      // The offer takes a while: what it has begun since it was looked at keeps it here as well.
      const reasons = refusals(track.pid, true);
      if (reasons.length > 0) refuse(track.pid, reasons);
    }
    await step(carry.faults, "freeze");
    const homes: { traveller: Traveller; home: HomeProcess; frozen: FrozenProcess }[] = [];
    for (const traveller of this.travellers) {
      const { frozen, ticket, track } = traveller;
      if (!frozen) throw new TeselaError("E_INTERNAL", "a process that was not frozen is to leave");
      const deputy = Deputy.enter(tracees, frozen.leader, log);
      const { stopRequested } = frozen.leader;
      const home = mover.homeProcess(deputy, { stopRequested, signalsAtHome: readsSignals(track.pid) }, ticket);
      traveller.home = home;
      ptrace.cont(track.pid);
      await home.seat(frozen.others);
      homes.push({ traveller, home, frozen });
    }
    await step(carry.faults, "capture");
    for (const { home } of homes) await home.reaches.over(home.threads.keys());
    const guards = objects.size > 0 ? await this.hold(sharers) : sharers.guards;
    for (const { home } of homes) home.guard = guards.get(home.pid) ?? NO_GUARD;
    const shows = (id: string) => this.group?.shown(id) ?? null;
    // None of them has seen anything later.
    const clocks = readClocks();
    const ready: Ready[] = [];
    for (const { traveller, home, frozen } of homes) {
      const layout = readLayout(home.pid, mover.hashes, home.extents, shows);
      const image = await captureAtHome(home, frozen, layout, traveller.track.away, clocks);
      for (const { tid, sigmask } of image.threads) home.threads.get(tid)?.bear(sigmask);
      ready.push({ traveller, home, layout, image });
    }
    return ready;
  }

  /** Takes hold of what they share. @returns what is open on it */
  private async hold(sharers: Sharers): Promise<Sharers["guards"]> {
    const { pid } = this.request.lead;
    const group = Group.of(this.groupName, sharers.objects.values());
    this.group = group;
    if (!group.isNamed) return sharers.guards;
    try {
      group.close();
    } catch (e) {
      const message = `process ${pid} shares memory that others can open, and this node cannot keep them from it: ${toTeselaError(e).message}`;
      throw new TeselaError("E_CANTMOVE", message, { reasons: ["monkey"] }, { cause: e });
    }
    // Somebody may have come in before.
    this.census.forget();
    const now = await sharersOf(pid, this.census);
    const left = new Set(this.travellers.map((t) => t.track.pid));
    if (now.pids.some((other) => !left.has(other)))
      throw new TeselaError("E_BUSY", `process ${pid} has just come to share memory; try again`);
    return now.guards;
  }

  /** Back to where they were: at home, untraced, as if nothing had been. */
  async undo(cause: unknown): Promise<void> {
    for (const { inbox } of this.travellers) inbox.channel.close(toTeselaError(cause));
    for (const traveller of this.travellers) await this.putBack(traveller);
    this.giveUpGroup();
  }

  private async putBack({ track, frozen, home }: Traveller): Promise<void> {
    const { tracees, log } = this.request.mover.parts;
    if (!frozen) return;
    try {
      // As far as they have not become deputies.
      const left = threadsOf(frozen).filter(({ tid }) => !home?.threads.has(tid));
      if (home) {
        this.link.drop(home.ticket);
        if (home.phase === "away") home.phase = "moving";
        if ((home.phase as Phase) !== "gone") await home.leave(landingsOf(frozen));
      }
      letAllGo(tracees, track.pid, left);
    } catch (e) {
      if (!isGone(e) && toTeselaError(e).code !== "E_GONE" && proc.exists(track.pid))
        log.error("a process could not be put back", { pid: track.pid, error: String(e) });
    }
  }
}
const PAGE = 4096;
