import { type Log, toTeselaError } from "../base/mod.ts";
import { type Caller, ROOT } from "./authorize.ts";
import type { Controls } from "./controls.ts";
import type { Members } from "./members.ts";
import type { Controlled, ProcessRow } from "./shapes.ts";

/** One that does not answer at all is not waited for longer. */
const TOLD_MS = 120_000;
const SELF: Caller = { uid: ROOT, gid: ROOT, via: null };

interface Parts {
  readonly self: number;
  readonly controls: Pick<Controls, "tell">;
  readonly members: Pick<Members, "list" | "control">;
  readonly flags: () => readonly string[];
  readonly log: Log;
}

/** Whether a process is not at home and has to do with that node. */
export const concerns = (id: number, { home, node }: ProcessRow): boolean => home !== node && (home === id || node === id);

/** A node that is about to go sends its guests home, and fetches its own processes. */
export class Emptying {
  private readonly p: Parts;

  constructor(parts: Parts) {
    this.p = parts;
  }

  /**
   * Does nothing to a node that is not there. What does not move is still there afterwards.
   * @returns what puts the node back as it was, for when it does not go after all
   */
  async empty(id: number): Promise<() => Promise<void>> {
    const { members, self, flags } = this.p;
    const member = members.list().find((m) => m.peer.id === id);
    if (id !== self && member?.state !== "up") return async () => undefined;
    const before = id === self ? flags() : (member?.status?.flags ?? []);
    for (const verb of ["expel", "bring"]) await this.tell(id, verb);
    const undo = ["block", "lstay"].filter((flag) => !before.includes(flag));
    return async () => {
      for (const flag of undo) await this.tell(id, `no${flag}`);
    };
  }

  private async tell(id: number, verb: string): Promise<void> {
    const { controls, members, self, log } = this.p;
    try {
      const told =
        id === self
          ? controls.tell({ verb }, SELF)
          : members.control(id).question("POST /ctl", { verb }, SELF, AbortSignal.timeout(TOLD_MS));
      const { failed } = (await told) as Controlled;
      for (const { cpid, reason } of failed) log.warn("a process stays away though its node is to go", { cpid, node: id, reason });
    } catch (e) {
      log.warn("a node that is to go does not do as it is told", { node: id, verb, error: toTeselaError(e).message });
    }
  }
}
