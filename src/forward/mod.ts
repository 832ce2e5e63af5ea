export { BAD_ADDRESS, NEVER_OPEN, outLengths } from "./forward.ts";
export { describeArguments, describeFilled, describeResult } from "./describe.ts";
export { isNative, planCall } from "./plan.ts";
export { isOwnView, isOwnViewFile, type OwnEntry, servedEntry } from "./own-view.ts";
export { planIfStream } from "./probe.ts";
export * from "./types.ts";
