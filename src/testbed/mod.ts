/**
 * Many hosts on one machine: local clusters of namespace hosts. What `exec` needs is loaded at once, since it shall start fast;
 * the rest when it is called.
 */
import type { Capabilities } from "./capabilities.ts";
import type { Lease, UpOptions } from "./up.ts";

export type { Capabilities } from "./capabilities.ts";
export { type Environment, findHost, type HostCommand, hostEnvironment, type Launch, launchOn } from "./enter-host.ts";
export { type ClusterRow, clusterRow, type HostRow, listClusters } from "./list.ts";
export {
  type ClusterState,
  clusterDir,
  clusterNames,
  clustersDir,
  DEFAULT_NAME,
  getState,
  type HostState,
  type ProcessId,
  readState,
} from "./state.ts";
export { PACKAGE, presentServices, SERVICES, type Service } from "./services.ts";
export type { Lease, UpOptions } from "./up.ts";

/** See capabilities.ts. */
export const capabilities = async (): Promise<Capabilities> => (await import("./capabilities.ts")).capabilities();
/** See up.ts. */
export const clusterUp = async (options: UpOptions): Promise<Lease> => (await import("./up.ts")).clusterUp(options);
/** See down.ts. */
export const clusterDown = async (name: string): Promise<void> => (await import("./down.ts")).clusterDown(name);
/** See link.ts. */
export const setLink = async (name: string, node: string | number, link: "up" | "cut"): Promise<void> =>
  (await import("./link.ts")).setLink(name, node, link);
