/** The data plane. Its process starts in main.ts; what tests may name of it is here. */
export { FAULT_POINTS, type FaultAction, type FaultPoint } from "./faults.ts";
