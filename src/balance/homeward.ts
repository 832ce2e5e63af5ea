import { carrySeconds, crowding, lowMark, rate } from "./cost.ts";
import type { BalanceKnobs } from "./knobs.ts";
import { stayMs } from "./stay.ts";
import { roomSoon } from "./target.ts";
import type { BalanceState, Decision, NodeView } from "./views.ts";
import { byMerit, callRate, type Scale, type Subject, type Weighed, weigh } from "./weigh.ts";
import { load, seconds } from "./words.ts";

/** The owner works here and wants, together with the guests, more than there is. */
export const ownerIsBack = (self: NodeView, k: BalanceKnobs): boolean => (self.ownLoad ?? 0) >= k.ownerLoad && crowding(self) > k.overload;

/**
 * Guests make room for the owner: the busiest goes first, without waiting for its minimum stay. It goes home, unless home is crowded and
 * another node is not.
 */
export function makeRoom(state: BalanceState, subjects: readonly Subject[], scale: Scale, k: BalanceKnobs): Decision | null {
  const { self } = state;
  if (!ownerIsBack(self, k)) return null;
  const guests = subjects
    .filter(({ process: p }) => p.home !== self.id && p.fixed.length === 0)
    .sort((a, b) => b.process.cpu - a.process.cpu || a.process.rss - b.process.rss || a.process.pid - b.process.pid);
  for (const s of guests) {
    const to = refuge(state, s, scale, k);
    if (to === null) continue;
    const where = to.node.id === s.process.home ? `home to node ${to.node.id}` : `on to node ${to.node.id}`;
    const why = `goes ${where}: the owner of node ${self.id} is back (own load ${load(self.ownLoad ?? 0)} of ${load(self.load)}), it would be at ${load(to.after)} there`;
    return decide(state, s, "owner", to, why);
  }
  return null;
}

function refuge(state: BalanceState, s: Subject, scale: Scale, k: BalanceKnobs): Weighed | null {
  const open = state.others.map((n) => weigh(s, n, scale, state.inFlight, k)).filter((w) => w.bar === null);
  const home = open.find((w) => w.node.id === s.process.home);
  if (home !== undefined && crowding({ ...home.node, load: home.after }) <= k.overload) return home;
  const uncrowded = open.filter((w) => crowding({ ...w.node, load: w.after }) <= k.overload).sort(byMerit);
  return uncrowded[0] ?? home ?? null;
}

/** An I/O job is better off with its files, however busy home is: there it goes as soon as there is memory for it. */
function followsFiles(state: BalanceState, subjects: readonly Subject[], scale: Scale, k: BalanceKnobs): Decision | null {
  for (const s of subjects) {
    const p = s.process;
    const home = scale.byId.get(p.home);
    if (p.job !== "io" || p.home === state.self.id || home === undefined) continue;
    if (p.fixed.length > 0 || p.sinceMoveMs < stayMs(p.bounces, k)) continue;
    const w = weigh(s, home, scale, state.inFlight, k);
    // Twice what is kept free: it may have left for want of that, and is not to come and go.
    if (w.bar !== null || roomSoon(home, p, k) < lowMark(home.memTotal, k)) continue;
    return decide(state, s, "home", w, `goes home to node ${home.id}: it is an I/O job, and there is memory for it now`);
  }
  return null;
}

/** A guest whose home is idle goes home, when it runs no slower there and has not just come. */
export function goHome(state: BalanceState, subjects: readonly Subject[], scale: Scale, k: BalanceKnobs): Decision | null {
  const { self } = state;
  const follower = followsFiles(state, subjects, scale, k);
  if (follower !== null) return follower;
  const here = rate(self, self.load);
  let best: { s: Subject; w: Weighed } | null = null;
  for (const s of subjects) {
    const p = s.process;
    const home = scale.byId.get(p.home);
    if (p.home === self.id || home === undefined || home.load > k.idleLoad) continue;
    if (p.fixed.length > 0 || p.sinceMoveMs < stayMs(p.bounces, k)) continue;
    const w = weigh(s, home, scale, state.inFlight, k);
    // What was sent away a moment ago comes back only if it gains by that: its calls do, or others here. A faster CPU alone can wait.
    const byCalls = callRate(p) * s.life * s.rtt > k.payback * w.cost;
    if (p.sinceMoveMs < k.homeAfterMs && (w.net <= 0 || (!byCalls && crowding(self) <= k.overload))) continue;
    const slower = rate(home, w.after) < here * (1 - k.nearEqual);
    if (w.bar !== null || slower || w.after > Math.max(k.overload, self.load)) continue;
    // It gains little there: neither what is about to end nor what is large is worth carrying.
    if (carrySeconds(p.rss, home, k) >= k.homeCost * s.life) continue;
    if (best === null || s.life > best.s.life) best = { s, w };
  }
  if (best === null) return null;
  const { s, w } = best;
  const why = `goes home to node ${w.node.id}, which is idle (load ${load(w.node.load)}): it would be at ${load(w.after)}, here it is ${load(self.load)}; carrying costs ${seconds(w.cost)} of ${seconds(s.life)}`;
  return decide(state, s, "home", w, why);
}

function decide(state: BalanceState, s: Subject, motive: "owner" | "home", w: Weighed, why: string): Decision {
  const { pid, home } = s.process;
  const considered = [{ node: w.node.id, gain: w.gain, cost: w.cost, verdict: why }];
  return { pid, home, motive, from: state.self.id, to: w.node.id, why, considered, atMs: state.nowMs };
}
