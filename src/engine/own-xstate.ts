import { fitXstate } from "../image/mod.ts";

/** Extended registers as the processor here has them: those of a thread that left. All of its threads have the same room for them. */
let sample: Uint8Array | null = null;

export function rememberXstate(xstate: Uint8Array): void {
  sample ??= xstate;
}

/**
 * The registers of a thread that comes home, fit for the processor here.
 * @throws TeselaError E_CANTMOVE `cpu_state`
 */
export const fitHere = (xstate: Uint8Array): Uint8Array => (sample ? fitXstate(xstate, sample) : xstate);
