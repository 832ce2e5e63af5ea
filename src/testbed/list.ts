import { existsSync, statSync } from "node:fs";
import { allIntact, clusterDir, clusterNames, isAlive, isRunning, readState } from "./state.ts";

/** A row of `tesela cluster ls --json`. */
export interface ClusterRow {
  readonly name: string;
  /** `starting` while `up` is at work; `broken`: something of it died, the next `up` or `down` of the name removes the remains. */
  readonly state: "up" | "starting" | "broken";
  /** Milliseconds of the Unix epoch. */
  readonly created: number;
  readonly rootless: boolean;
  /** Bytes a host may use, or null. */
  readonly memory: number | null;
  readonly hosts: readonly HostRow[];
}

export interface HostRow {
  readonly id: number;
  readonly name: string;
  readonly address: string;
  readonly state: "up" | "down";
  readonly link: "up" | "cut";
  /** The core it is pinned to, or null. */
  readonly cpu: number | null;
  /** Its init, as this machine counts. */
  readonly pid: number | null;
}

/** All local clusters of this user, by name. */
export function listClusters(): ClusterRow[] {
  return clusterNames().map(clusterRow);
}

export function clusterRow(name: string): ClusterRow {
  const dir = clusterDir(name);
  const state = readState(name);
  if (state === null) {
    const created = statSync(dir, { throwIfNoEntry: false })?.ctimeMs ?? 0;
    return { name, state: "broken", created, rootless: false, memory: null, hosts: [] };
  }
  const running = isRunning(state);
  return {
    name,
    state: !running || !allIntact(state) ? "broken" : state.phase,
    created: state.created,
    rootless: state.rootless,
    memory: state.memory,
    hosts: state.hosts.map(({ id, name: host, address, cpu, init }) => ({
      id,
      name: host,
      address,
      state: running && isAlive(init) ? "up" : "down",
      link: existsSync(`${dir}/${host}/cut`) ? "cut" : "up",
      cpu,
      pid: init?.pid ?? null,
    })),
  };
}
