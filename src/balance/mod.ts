/** Who moves where, and why: the pure policy. What is known comes in as data, with a source of chance; decisions come out, with their numbers. */
export { Admission, type Room } from "./admission.ts";
export type { Offer } from "./admit.ts";
export { Gone } from "./gone.ts";
export { balance, isOverloaded } from "./balance.ts";
export { brings, capacity, demand, lowMark, STANDARD } from "./cost.ts";
export { forecast, lookAgainMs, type MemoryState, type UsherState } from "./forecast.ts";
export { BALANCE_KNOBS, type BalanceKnobs, type CostKnobs, PLACE_KNOBS, type PlaceKnobs, USHER_KNOBS, type UsherKnobs } from "./knobs.ts";
export { DecisionLog, type DecisionLogOptions, type Logged } from "./log.ts";
export { type Averages, Ours } from "./ours.ts";
export { place, placeAgain, type PlaceState, type Wants } from "./place.ts";
export { type Departure, Leaving } from "./leaving.ts";
export { lacking, type Needs, promised, roomiest } from "./room.ts";
export { Sent, UNHEARD_MS } from "./sent.ts";
export { Shrinkage } from "./shrinkage.ts";
export { asTarget } from "./present.ts";
export { bouncesAfter, pauseMs, stayMs } from "./stay.ts";
export { usher } from "./usher.ts";
export type { BalanceState, Considered, Decision, Motive, NodeView, ProcessView } from "./views.ts";
