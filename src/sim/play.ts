import { performance } from "node:perf_hooks";
import { SeededRandom } from "../io/mod.ts";
import { EventClock } from "./event-clock.ts";
import { Measure } from "./measure.ts";
import type { Policy, PolicyOf, Traffic } from "./policy.ts";
import type { Scenario } from "./scenario.ts";
import { type Job, type Start, workload } from "./workload.ts";
import { World } from "./world.ts";

const SURVEY_MS = 1000;
/** Nodes have been up for a while when work begins: all know of all. */
const WARM_MS = 15_000;

/** What one policy made of a scenario. */
export interface Played {
  readonly policy: Policy;
  readonly measure: Measure;
  readonly traffic: Traffic;
  /** Seconds of virtual time, since work began. */
  readonly seconds: number;
  readonly processes: number;
  /** Processes that had not ended when the scenario's limit was reached. */
  readonly unfinished: number;
  /** Events of the clock, and the real time that they took. */
  readonly events: number;
  readonly tookMs: number;
}

/** Runs a scenario under one policy. The same seed gives every policy the same work, and the same run again. */
export function play(scenario: Scenario, policyOf: PolicyOf): Played {
  const begun = performance.now();
  const clock = new EventClock();
  const measure = new Measure();
  const starts = workload(scenario, new SeededRandom(scenario.seed));
  const processes = starts.reduce((n, s) => n + s.jobs.length, 0);
  const next = new Map<Job, () => void>();
  let done = 0;
  const world = new World(scenario, clock, WARM_MS, {
    moved: (move) => measure.moved(move, clock.now()),
    ended: (task, on) => {
      done++;
      measure.ended(task, clock.now(), world.machine(task.job.home));
      policy.ended(task, on);
      next.get(task.job)?.();
    },
  });
  const policy = policyOf(world, scenario.seed);

  const begin = (start: Start): void => {
    measure.firstMs = Math.min(measure.firstMs, clock.now());
    let at = 0;
    const one = (): void => {
      const job = start.jobs[at++];
      if (job === undefined) return;
      if (start.jobs.length > start.width) next.set(job, one);
      policy.begin(job);
    };
    for (let i = 0; i < start.width; i++) one();
  };
  clock.runTo(WARM_MS);
  const quiet = { ...policy.traffic };
  for (const start of starts) clock.after(start.atMs, () => begin(start));
  clock.every(SURVEY_MS, () => {
    for (const m of world.machines) world.look(m);
    measure.survey(world, SURVEY_MS);
  });
  clock.runTo(WARM_MS + scenario.limit * 1000, () => done === processes);
  if (done < processes) measure.lastMs = clock.now();
  const { messages, bytes } = policy.traffic;
  return {
    policy,
    measure,
    traffic: { messages: messages - quiet.messages, bytes: bytes - quiet.bytes },
    seconds: (clock.now() - WARM_MS) / 1000,
    processes,
    unfinished: processes - done,
    events: clock.fired,
    tookMs: performance.now() - begun,
  };
}
