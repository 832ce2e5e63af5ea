/** Clusters in virtual time: the production policy and gossip on nodes, networks and work that scenarios describe. */
export { EventClock } from "./event-clock.ts";
export { reportHtml } from "./html.ts";
export { isPolicy, POLICIES, type PolicyName, USUAL } from "./policies.ts";
export { type Outcome, type Report, reportText, type Run } from "./report.ts";
export { nodeCount, readScenario, resized, type Scenario } from "./scenario.ts";
export { DEFAULT_SCENARIO, loadScenario, scenarioNames } from "./scenarios.ts";
export { simulate, type SimulateOptions } from "./simulate.ts";
export type { Gossip } from "./tesela.ts";
