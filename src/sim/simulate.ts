import { play } from "./play.ts";
import { type PolicyName, policyNamed, USUAL } from "./policies.ts";
import { type Report, reportOf, type Run, runOf } from "./report.ts";
import type { Scenario } from "./scenario.ts";
import type { Gossip } from "./tesela.ts";

export interface SimulateOptions {
  readonly policies?: readonly PolicyName[];
  readonly gossip?: Gossip | undefined;
  /** Is told when a policy is done. */
  readonly onRun?: (run: Run) => void;
}

/** A scenario under several policies, one after the other, with the same work. */
export function simulate(scenario: Scenario, o: SimulateOptions = {}): { report: Report; runs: Run[] } {
  const runs: Run[] = [];
  let processes = 0;
  for (const name of o.policies ?? USUAL) {
    const played = play(scenario, policyNamed(name, o.gossip));
    processes = played.processes;
    const run = runOf(scenario, played);
    runs.push(run);
    o.onRun?.(run);
  }
  return { report: reportOf(scenario, processes, runs), runs };
}
