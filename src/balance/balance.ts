import type { NodeId } from "../base/mod.ts";
import type { Random } from "../io/mod.ts";
import { chooseTarget } from "./choose.ts";
import { crowding, highestLoad } from "./cost.ts";
import { goHome, makeRoom } from "./homeward.ts";
import type { BalanceKnobs } from "./knobs.ts";
import { pauseMs, stayMs } from "./stay.ts";
import { isUsable } from "./target.ts";
import type { BalanceState, Decision, NodeView, ProcessView } from "./views.ts";
import { byMerit, considered, pays, reason, type Scale, type Subject, subject, type Weighed, weigh } from "./weigh.ts";
import { load, seconds } from "./words.ts";

/**
 * One round, at most one departure. Pure: the same state, knobs and seed, the same decisions. All that was weighed is returned, at most one with a
 * `to`; nothing while the pause after the last departure lasts. Guests make room for an owner before anything else, then they go home
 * to an idle node, then load is spread.
 */
export function balance(state: BalanceState, knobs: BalanceKnobs, random: Random): Decision[] {
  const { self } = state;
  const others = state.others.filter((n) => n.id !== self.id && isUsable(n));
  const seen = { ...state, others };
  const scale: Scale = {
    self,
    byId: new Map<NodeId, typeof self>(others.map((n) => [n.id, n])),
    nodes: others.length + 1,
    highest: highestLoad(self, others),
  };
  const subjects = state.processes.map((p) => subject(p, scale));
  const first = makeRoom(seen, subjects, scale, knobs);
  if (first !== null) return [first];
  if (state.nowMs - state.lastDepartureMs < pauseMs(self, knobs)) return [];
  const home = goHome(seen, subjects, scale, knobs);
  if (home !== null) return [home];
  return spread(seen, subjects, scale, knobs, random);
}

/** Whether load is to be spread at all. */
export const isOverloaded = (self: NodeView, k: BalanceKnobs): boolean => Math.max(self.load, crowding(self)) > k.overload;

interface Case {
  readonly s: Subject;
  /** Why it is not weighed at all; null when it is. */
  readonly held: string | null;
  readonly weighed: readonly Weighed[];
}

function spread(state: BalanceState, subjects: readonly Subject[], scale: Scale, k: BalanceKnobs, random: Random): Decision[] {
  const { self } = state;
  const calm = isOverloaded(self, k) ? null : `node ${self.id} is not overloaded (load ${load(self.load)})`;
  const cases: Case[] = subjects.map((s) => {
    const held = holds(s.process, k) ?? calm;
    return { s, held, weighed: held === null ? state.others.map((n) => weigh(s, n, scale, state.inFlight, k)) : [] };
  });
  const leaver = whoLeaves(cases);
  const target = leaver === null ? null : chooseTarget(leaver.weighed.filter(pays), k, random);
  return cases.map((c) => {
    const to = c === leaver ? target : null;
    const best = to ?? bestOf(c.weighed);
    const kept = k.explain === 0 ? [] : [...c.weighed].sort(byMerit).slice(0, k.explain);
    return {
      pid: c.s.process.pid,
      home: c.s.process.home,
      motive: "load",
      from: self.id,
      to: to?.node.id ?? null,
      why: to === null ? `stays: ${c.held ?? whyStays(c.s, best, state, leaver, k)}` : whyMoves(to, c.s, state),
      considered: kept.map((w) => considered(w, c.s, self, k)),
      atMs: state.nowMs,
    };
  });
}

/** Why a process is not to be moved by itself now. */
function holds(p: ProcessView, k: BalanceKnobs): string | null {
  if (p.fixed.length > 0) return `it may not move by itself (${p.fixed.join(", ")})`;
  if (p.job === "io") return "it is an I/O job, which is best off where its files are";
  const least = stayMs(p.bounces, k);
  if (p.sinceMoveMs >= least) return null;
  return `it came ${seconds(p.sinceMoveMs / 1000)} ago and stays ${seconds(least / 1000)} at least`;
}

/** The process that gains most, its costs subtracted: the oldest ones have most of their life before them. */
function whoLeaves(cases: readonly Case[]): Case | null {
  let leaver: Case | null = null;
  let most = 0;
  for (const c of cases) {
    for (const w of c.weighed) {
      if (!pays(w) || w.net <= most) continue;
      most = w.net;
      leaver = c;
    }
  }
  return leaver;
}

const bestOf = (weighed: readonly Weighed[]): Weighed | null =>
  weighed.reduce<Weighed | null>((best, w) => (best === null || byMerit(w, best) < 0 ? w : best), null);

function whyStays(s: Subject, best: Weighed | null, state: BalanceState, leaver: Case | null, k: BalanceKnobs): string {
  if (best === null) return "no other node is known";
  if (pays(best) && leaver !== null) return `process ${leaver.s.process.pid} goes first, which gains more`;
  return reason(best, s, state.self, k);
}

function whyMoves(w: Weighed, s: Subject, { self }: BalanceState): string {
  const loads = `it would be at ${load(w.after)}, here it is ${load(self.load)}`;
  return `moves to node ${w.node.id}: ${loads}; gains ${seconds(w.gain)} of ${seconds(s.life)}, costs ${seconds(w.cost)}`;
}
