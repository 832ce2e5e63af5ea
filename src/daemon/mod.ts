/** The light side of the daemon, for its clients: nothing that takes long to load. The daemon itself is composed in main.ts. */
export { type Ask, ask, type Far, isErrorShape } from "./client.ts";
export { DaemonClient } from "./daemon-client.ts";
export type { HeardRow } from "./discovery.ts";
export { maskText, mustKnow, parseMask, parseNodeList } from "./node-mask.ts";
export * from "./shapes.ts";
export { CONTROL_VERBS, closedBy, closedText } from "./verbs.ts";
