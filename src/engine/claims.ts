import { TeselaError } from "../base/mod.ts";
import { proc } from "../sys/mod.ts";
import { whatHappened } from "./guard.ts";
import type { Group } from "./group.ts";
import type { Track, Tracks } from "./tracks.ts";

/** One of those that were to be moved together has ended meanwhile: without it they can be. */
export class MemberEnded extends TeselaError {
  constructor(pid: number, ended: number, cause: unknown) {
    const message = `process ${ended}, which shared the memory of process ${pid}, ended while they were to be moved; try again`;
    super("E_BUSY", message, {}, { cause });
  }
}

/** Processes that a move has for itself until it is over. */
export class Claims implements Disposable {
  private readonly tracks: Tracks;
  private readonly taken = new Set<Track>();
  private group: Group | null = null;

  constructor(tracks: Tracks) {
    this.tracks = tracks;
  }

  /** A process, and with it those that are away with it. @throws TeselaError E_BUSY: another move has it */
  take(track: Track): void {
    if (this.taken.has(track)) return;
    if (track.busy) throw new TeselaError("E_BUSY", `process ${track.pid} is being moved already`);
    track.claimed = true;
    this.taken.add(track);
    const group = track.process?.group ?? null;
    if (group && !this.group) {
      this.group = group;
      group.claimed = true;
    }
  }

  /** One of the group, which nobody else moves; it may be at its birth. */
  takeMember(track: Track): void {
    track.claimed = true;
    this.taken.add(track);
  }

  /** Whatever step it was that made a move fail: where one of those that it was about has ended, that is the reason. */
  whatHappened(e: unknown, lead: Track): TeselaError {
    const error = whatHappened(e, lead.pid);
    if (error.code === "E_CANTMOVE" || !proc.exists(lead.pid)) return error;
    const ended = [...this.taken].find((track) => track !== lead && !proc.exists(track.pid));
    return ended ? new MemberEnded(lead.pid, ended.pid, error) : error;
  }

  [Symbol.dispose](): void {
    if (this.group) this.group.claimed = false;
    for (const track of this.taken) {
      track.claimed = false;
      // Somebody may have come for what it shares while it was on its way.
      track.process?.group?.answer();
      if (!track.process && !proc.exists(track.pid)) this.tracks.forget(track.pid);
    }
  }
}
