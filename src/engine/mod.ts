/** The data plane. Its process starts in main.ts; what tests and `tesela doctor` may name of it is here. */
export { findPlaces } from "./guest-group.ts";
export { FAULT_POINTS, type FaultAction, type FaultPoint } from "./faults.ts";
export type { ProcessFacts } from "./rows.ts";
