/** What a machine lacks to be a node, and what to do about it. */
export { examine } from "./examine.ts";
export type { Finding, State } from "./finding.ts";
