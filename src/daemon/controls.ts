import { setTimeout as sleep } from "node:timers/promises";
import { TeselaError, toTeselaError } from "../base/mod.ts";
import { type Caller, ROOT } from "./authorize.ts";
import type { EngineClient } from "./engine-client.ts";
import { type DecayRates, isRates } from "./hints.ts";
import type { Member, Members } from "./members.ts";
import type { NodeStatus } from "./peer.ts";
import { isSpeed, type Policies } from "./policies.ts";
import type { ControlAsk, Controlled, EngineRow } from "./shapes.ts";
import { CONTROL_VERBS, FLAGS, type Flag, NUMBER_VERBS } from "./verbs.ts";

/** What they have set is taken back. */
const BACK: Readonly<Record<string, string>> = { noexpel: "noblock", nobring: "nolstay" };

export interface ControlParts {
  readonly self: number;
  readonly policies: Policies;
  readonly engine: EngineClient;
  readonly members: Members;
  /** Whether a process is on its way out of here by a decision of this node. */
  readonly leaving: () => boolean;
  /** Of its processor, now. */
  readonly speed: () => number;
  /** What is being done now and takes its time, for the flags of `tesela nodes`. */
  readonly underWay: Set<string>;
  /** Something is another way than it was told to the others. */
  readonly changed: () => Promise<void>;
}

/** What another node has said of its flags, and when, by this process's own clock. */
interface Heard {
  readonly flags: readonly string[];
  readonly at: number;
}

/** What the owner of a node tells it: mosctl(1) of openMosix. */
export class Controls {
  private readonly p: ControlParts;
  private readonly heard = new Map<number, Heard>();

  constructor(parts: ControlParts) {
    this.p = parts;
  }

  /** @throws TeselaError E_USAGE, E_PERM, E_NONODE, E_NODE_DOWN */
  async tell(ask: ControlAsk, caller: Caller): Promise<Controlled> {
    const { node } = ask;
    const verb = BACK[ask.verb] ?? ask.verb;
    const other = node === undefined ? undefined : this.p.members.find(node);
    if (other && caller.via === null) {
      const { id } = other.peer;
      const done = (await this.p.members.control(id).question("POST /ctl", { ...ask, node: undefined }, caller)) as Controlled;
      this.heard.set(id, { flags: done.flags, at: performance.now() });
      return done;
    }
    if (node !== undefined && node !== String(this.p.self)) throw new TeselaError("E_NONODE", `there is no node '${node}'`, { node });
    if (!CONTROL_VERBS.includes(verb)) throw new TeselaError("E_USAGE", `'${verb}': want one of ${CONTROL_VERBS.join(" ")}`);
    if (caller.uid !== ROOT)
      throw new TeselaError("E_PERM", `only root may ${verb.endsWith("level") ? "switch load levelling" : `tell a node to '${verb}'`}`);
    const done = await this.obey(verb, ask);
    await this.p.changed();
    return done;
  }

  /** What is known of another node, with its flags as it has answered since it was last heard of. */
  known({ peer, status, heard }: Pick<Member, "peer" | "status" | "heard">): NodeStatus | null {
    const said = this.heard.get(peer.id);
    if (!status || !said || (heard ?? 0) > said.at) return status;
    return { ...status, flags: [...said.flags, ...status.flags.filter((f) => !OWN_FLAGS.includes(f))] };
  }

  private async obey(verb: string, ask: ControlAsk): Promise<Controlled> {
    if (verb === "expel") return await this.during(verb, () => this.expel());
    if (verb === "bring") return await this.during(verb, () => this.bring());
    if (NUMBER_VERBS.includes(verb)) return this.setNumber(ask);
    if (verb.endsWith("level")) this.p.policies.level = verb === "level";
    else await this.flag(verb);
    return this.answer([], []);
  }

  private async during(verb: "expel" | "bring", work: () => Promise<Controlled>): Promise<Controlled> {
    this.p.underWay.add(verb);
    try {
      return await work();
    } finally {
      this.p.underWay.delete(verb);
    }
  }

  /** What the engine must know it is told again after a restart of either. */
  async tellEngine(): Promise<void> {
    await this.p.engine.accept(!this.p.policies.has("block") && !this.p.policies.has("quiet"));
  }

  private setNumber({ verb, value, values = [] }: ControlAsk): Controlled {
    const { policies } = this.p;
    const speed = (n: number | undefined): number => {
      if (isSpeed(n)) return n;
      throw new TeselaError("E_USAGE", `${verb} ${n ?? ""}: want a speed, 10000 for the reference processor`);
    };
    if (verb === "nosetspeed") policies.speed = null;
    else if (verb === "setspeed") policies.speed = speed(value);
    else if (verb === "setyard") policies.yard = speed(value ?? this.p.speed());
    else policies.decay = decayOf(values);
    return this.answer([], []);
  }

  private async flag(verb: string): Promise<void> {
    const on = FLAGS.includes(verb as Flag);
    this.p.policies.set((on ? verb : verb.slice(2)) as Flag, on);
    await this.tellEngine().catch((e: unknown) => {
      // One that starts is told.
      if (toTeselaError(e).code !== "E_NOENGINE") throw e;
    });
    await this.p.changed();
  }

  /**
   * All guests leave, and no more arrive. Of one that has just come its home may not know yet that it has gone, and says that it is there: it is
   * asked again.
   */
  private async expel(): Promise<Controlled> {
    await this.flag("block");
    const caller = { uid: ROOT, gid: ROOT, via: null };
    return await this.untilNone(
      async () => (await this.p.engine.processes()).filter((r) => r.role === "guest"),
      (row) => this.p.members.control(row.home).migrate({ pid: row.cpid, target: "home" }, caller),
      () => true,
    );
  }

  /** All own processes come home, and stay. One that was on its way out as that was said is fetched when it has arrived. */
  private async bring(): Promise<Controlled> {
    await this.flag("lstay");
    return await this.untilNone(
      async () => (await this.p.engine.processes()).filter((r) => r.role === "home" && r.node !== this.p.self),
      ({ pid }) => this.p.engine.migrate({ pid, target: "home", uid: ROOT }),
      (looks) => looks > 0 && !this.p.leaving(),
    );
  }

  /**
   * Looks who is away from home and sends them there, until nobody is or one cannot go.
   * @param counts whether a look that finds nobody does, after so many
   */
  private async untilNone(
    look: () => Promise<EngineRow[]>,
    move: (row: EngineRow) => Promise<unknown>,
    counts: (looks: number) => boolean,
  ): Promise<Controlled> {
    const moved = new Set<string>();
    for (let looks = 0; ; looks++) {
      const rows = await look();
      const last = await this.sendHome(rows, move);
      for (const cpid of last.moved) moved.add(cpid);
      const over = last.failed.length > 0 || looks === MOST_LOOKS;
      if (over || (rows.length === 0 && counts(looks))) return { ...last, moved: [...moved] };
      // They are gone at the next look, unless one has only just come.
      await sleep(last.moved.length === rows.length && rows.length > 0 ? SOON_MS : PAUSE_MS);
    }
  }

  private async sendHome(rows: readonly EngineRow[], move: (row: EngineRow) => Promise<unknown>): Promise<Controlled> {
    const moved: string[] = [];
    const failed: { cpid: string; reason: string }[] = [];
    await Promise.all(
      rows.map(async (row) => {
        try {
          await tryHome(() => move(row));
          moved.push(row.cpid);
        } catch (e) {
          // One that has ended, or went with others that share its memory, is gone from here as well.
          const { code, message } = e as TeselaError;
          if (!GONE.has(code)) failed.push({ cpid: row.cpid, reason: message });
        }
      }),
    );
    return this.answer(moved, failed);
  }

  private answer(moved: readonly string[], failed: Controlled["failed"]): Controlled {
    return { node: this.p.self, flags: this.p.policies.list(), level: this.p.policies.level, moved, failed };
  }
}

function decayOf([seconds = -1, slow = -1, fast = -1, ...more]: readonly number[]): DecayRates {
  const rates = { seconds, slow, fast };
  if (isRates(rates) && slow >= fast && more.length === 0) return rates;
  throw new TeselaError(
    "E_USAGE",
    "setdecay: want INTERVAL SLOW FAST: seconds, and the thousandths that are kept, 0 to 1000, of the slow ones at least as many as of the fast",
  );
}

/** Those that its answers tell of. */
const OWN_FLAGS: readonly string[] = [...FLAGS, "expel", "bring"];
const GONE: ReadonlySet<string> = new Set(["E_GONE", "E_NOENT_PID", "E_EXISTS", "E_THERE"]);
/** A move of it may be under way already. */
const TRIES = 20;
const PAUSE_MS = 250;
const SOON_MS = 20;
const MOST_LOOKS = 120;

async function tryHome(move: () => Promise<unknown>): Promise<void> {
  for (let left = TRIES; ; left--) {
    try {
      await move();
      return;
    } catch (e) {
      if (!(e instanceof TeselaError) || e.code !== "E_BUSY" || left === 0) throw e;
    }
    await sleep(PAUSE_MS);
  }
}
