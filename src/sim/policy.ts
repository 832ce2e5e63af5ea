import type { Machine } from "./machine.ts";
import type { Task } from "./task.ts";
import type { Job } from "./workload.ts";
import type { World } from "./world.ts";

/** What has been sent to tell others about load. */
export interface Traffic {
  messages: number;
  /** Sealed, without the heads of UDP and IP. */
  bytes: number;
}

/** Who says where processes run. */
export interface Policy {
  readonly name: string;
  /** Begins a process. */
  begin(job: Job): Task;
  /** A process has ended there. */
  ended(task: Task, on: Machine): void;
  readonly traffic: Traffic;
}

export type PolicyOf = (world: World, seed: number) => Policy;

const quiet = (): Traffic => ({ messages: 0, bytes: 0 });

/** As GNU `parallel --sshlogin` does: each process on the next node in turn, where it stays. Costs nothing. */
export const roundRobin: PolicyOf = (world) => {
  let turn = 0;
  return {
    name: "static",
    begin: (job) => world.begin(job, turn++ % world.machines.length),
    ended: () => {},
    traffic: quiet(),
  };
};

/** Each process stays where it was started. */
export const stayAtHome: PolicyOf = (world) => ({
  name: "home",
  begin: (job) => world.begin(job, job.home),
  ended: () => {},
  traffic: quiet(),
});
