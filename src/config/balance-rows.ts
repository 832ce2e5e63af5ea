// tidy: table
import type { BalanceKnobs, CostKnobs, PlaceKnobs, UsherKnobs } from "../balance/mod.ts";
import { bytes, count, millis, ratio, type Unsets } from "./row.ts";

/** The words and bounds of src/balance/knobs.ts. What a knob means there is said there for its readers, here for whoever sets it. */
type Own<T> = Exclude<keyof T, keyof CostKnobs> & string;

const GiB = 1024 ** 3;
const DAY_MS = 86_400_000;

export const COST_ROWS: Unsets<keyof CostKnobs> = {
  maxAgeMs: millis(
    1000,
    DAY_MS,
    "What is known of a node counts for nothing when ageMs > maxAgeMs.",
    "More: more targets in a large cluster, whose news takes O(log n) seconds. Less: fewer moves to nodes that have filled up meanwhile.",
  ),
  freezeMs: millis(
    0,
    60_000,
    "How long a process stands still beside the copying of its memory: cost = bytes / bandwidth + freezeMs.",
    "More: short processes stay. Less: processes move that hardly gain.",
  ),
  lowMarkShare: ratio(
    0,
    0.9,
    "Memory kept free on every node: lowMark = clamp(memTotal * lowMarkShare, lowMarkMin, lowMarkMax).",
    "More: page cache and sudden growth find room. Less: more memory for programs, and a later answer when it runs short.",
  ),
  lowMarkMin: bytes(
    0,
    1024 * GiB,
    "The least that lowMark is.",
    "More: small machines are safer against bursts. Less: they hold more programs.",
  ),
  lowMarkMax: bytes(
    0,
    1024 * GiB,
    "The most that lowMark is; not less than lowMarkMin.",
    "More: large machines keep more free. Less: they are filled further.",
  ),
  aheadMs: millis(
    0,
    600_000,
    "A target has to hold the process as it will be: rss + growth * aheadMs.",
    "More: fewer targets, none of which is full soon. Less: more targets, and processes that are carried on at once.",
  ),
  nearEqual: ratio(
    0,
    1,
    "Targets that differ by less than this part of the best count as equal, and chance picks one.",
    "More: nodes that decide at the same moment spread better. Less: the best target is taken more often.",
  ),
  explain: count(
    0,
    64,
    "How many nodes a decision keeps with their numbers, the best first, for `tesela why`.",
    "More: `tesela why` tells more. Less: less memory for the log of decisions.",
  ),
  ownerLoad: ratio(
    0,
    1000,
    "A node's owner works there when ownLoad >= ownerLoad: guests that would share the CPUs with that work go, and none are sent.",
    "More: guests stay longer, and the owner notices them. Less: guests go at the slightest work of the owner.",
  ),
};

export const BALANCE_ROWS: Unsets<Own<BalanceKnobs>> = {
  overload: ratio(
    0,
    1000,
    "A round does nothing unless max(load, runnable / cpus) > overload.",
    "More: a node that is slightly too full stays so. Less: processes wander for small gains.",
  ),
  guard: ratio(
    1,
    100,
    "A move goes only where told(remote) + guard * brings < local; 1 is break-even, as MOSIX's guard.",
    "More: steadier. Less: nearer to the mean, and ping-pong.",
  ),
  payback: ratio(
    0,
    1000,
    "A move must bring gain > payback * cost, both in seconds of the process's expected remaining life.",
    "More: fewer moves, and less lost when a process ends early. Less: sooner spread.",
  ),
  minStayMs: millis(
    0,
    DAY_MS,
    "A process that came t ago may go on when t >= minStayMs * 2^min(bounces, maxBounces).",
    "More: less ping-pong. Less: faster answers to change.",
  ),
  maxBounces: count(
    0,
    30,
    "How often the minimum stay doubles at most.",
    "More: wanderers are held for longer. Less: they may try again sooner.",
  ),
  quick: ratio(
    1,
    1000,
    "A move on is a bounce when it comes within quick times the minimum stay.",
    "More: wanderers are held sooner, and for longer. Less: only the quickest count.",
  ),
  departurePauseMs: millis(
    0,
    DAY_MS,
    "Time between departures from a node, so that the effect of one is seen before the next; MOSIX has 2 s.",
    "More: no overshooting, a slower spread. Less: a quicker spread, and sometimes too much of it.",
  ),
  homeCost: ratio(
    0,
    1000,
    "A guest goes home to an idle node when bytes / bandwidth + freezeMs < homeCost * its expected remaining life.",
    "More: hosts are rid of guests sooner, who lose time. Less: large guests stay.",
  ),
  homeAfterMs: millis(
    0,
    DAY_MS,
    "A guest that gains nothing by it goes home when it has been here for so long.",
    "More: fewer moves to and fro. Less: hosts are free sooner.",
  ),
  idleLoad: ratio(
    0,
    1000,
    "A node is idle, and its guests elsewhere go home to it, when told <= idleLoad.",
    "More: they go home sooner, to less. Less: they stay away longer.",
  ),
};

export const USHER_ROWS: Unsets<Own<UsherKnobs>> = {
  marginMs: millis(
    400,
    600_000,
    "It acts when free memory will cross lowMark within bytes / bandwidth + freezeMs + marginMs; at least twice the 200 ms between two looks.",
    "More: safer against bursts, and moves for growth that would have ended. Less: fewer moves, and swapping when growth quickens.",
  ),
  worthwhile: ratio(
    1,
    1000,
    "A process that grows moves where there is room for worthwhile times as long as here.",
    "More: it is not carried from one full node to the next. Less: memory of many nodes is used to the last.",
  ),
  settleMs: millis(
    0,
    600_000,
    "A process that came so lately is left alone: memory that came with it is taken for growth of the node.",
    "More: a wrong guess is not undone so soon. Less: one that goes on growing is met sooner.",
  ),
  guestCost: ratio(
    0,
    100,
    "Costs of moving guests count this much: cost * guestCost.",
    "Below 1 guests go before the owner's own processes; above 1 after them.",
  ),
  noise: bytes(
    0,
    1024 * GiB,
    "Growth of fewer bytes a second is noise, unless memory is below lowMark already.",
    "More: small growth is left alone. Less: it acts on growth that would have ended by itself.",
  ),
  signsBelow: ratio(
    0,
    1000,
    "Signs of shortage (swapIn, pressure) count only where free < lowMark * signsBelow.",
    "More: they are believed with much memory free, though pages come back from swap long after a shortage. Less: only near the mark.",
  ),
  swapIn: bytes(
    0,
    1024 * GiB,
    "More than so many bytes a second that come back from swap are a sign of shortage.",
    "More: some swapping is borne. Less: it acts sooner, on memory that merely is in use.",
  ),
  pressure: ratio(
    0,
    1,
    "Tasks that stand still for want of memory for more than this part of the time (PSI, `some`) are a sign of shortage.",
    "More: some standing still is borne. Less: it acts sooner, on memory that merely is in use.",
  ),
};

export const PLACE_ROWS: Unsets<Own<PlaceKnobs>> = {
  placeGain: ratio(
    0,
    1000,
    "A program begins elsewhere when it would run 1 + placeGain times as fast there.",
    "More: fewer programs are sent. Less: programs are sent for small gains.",
  ),
};
