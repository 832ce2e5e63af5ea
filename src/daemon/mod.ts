/** The light side of the daemon, for its clients; the daemon itself is composed in main.ts. */
export { type Ask, ask, type Far, isErrorShape } from "./client.ts";
export { NODE_NAME, type NodeConfig, type Peer, readNodeConfig, readPeers } from "./config.ts";
export { DaemonClient } from "./daemon-client.ts";
export type { HeardRow } from "./discovery.ts";
export { type DiscoverySettings, readDiscovery, writeDiscovery } from "./discovery-settings.ts";
export { enrolWith, type JoinWish, type Joined, settle } from "./joiner.ts";
export { maskText, mustKnow, parseMask, parseNodeList } from "./node-mask.ts";
export * from "./shapes.ts";
export { CONTROL_VERBS, closedBy, closedText } from "./verbs.ts";
