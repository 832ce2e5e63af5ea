import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { DaemonClient } from "../daemon/mod.ts";
import type { ClusterState } from "../testbed/mod.ts";
import { type DemoOptions, HOSTS, onEmbedded } from "./embedded.ts";
import { riseText } from "./gauge.ts";
import type { DemoHost } from "./host.ts";
import { type Outcome, proclb } from "./proclb.ts";
import { CREW_PROGRAMS, makeRecords } from "./records.ts";
import type { Screen } from "./screen.ts";

const CHILDREN = 9;
/** Bringing the cluster up, starting the children, taking it down. */
const AROUND_SECONDS = 8;
const LEAST_SECONDS = 8;
/** The part of the time in which levelling is off. */
const OFF_PART = 0.25;
const LEAST_OFF = 3;
const FILE = "/tmp/records";

/** Children spread by themselves. @returns whether every result was right. @throws TeselaError, or the signal's reason */
export const runSpread = (o: DemoOptions): Promise<boolean> =>
  onEmbedded(o, { programs: CREW_PROGRAMS, pin: true }, (host, screen, state) => spread(o, host, screen, state));

async function spread(o: DemoOptions, host: DemoHost, screen: Screen, state: ClusterState): Promise<boolean> {
  const cores = Math.min(availableParallelism(), HOSTS);
  // What one child has done is done once more, alone, for the comparison.
  const seconds = Math.max(LEAST_SECONDS, Math.round((o.seconds - AROUND_SECONDS) / (1 + cores / CHILDREN)));
  const on = Math.max(LEAST_OFF, Math.round(seconds * OFF_PART));
  writeFileSync(host.root + FILE, makeRecords());
  screen.line("");
  screen.line(`h1$ tesela demo proclb --children ${CHILDREN} --on ${on} --seconds ${seconds} ${FILE}`);
  screen.line(`It forks ${CHILDREN} awks on h1 that process the records of a file, and counts. Load levelling is off until second ${on}.`);
  for (const line of limits(state)) screen.line(line);
  screen.line("");
  const site = {
    client: new DaemonClient(host.paths),
    spawn: (argv: readonly [string, ...string[]]) => host.spawn(argv, ["pipe", "pipe", "pipe"]),
    moving: ["tesela", "run"] as const,
  };
  const plan = { children: CHILDREN, seconds, on, max: null, file: FILE, cpus: cores, shares: true };
  const outcome = await proclb(site, plan, (line) => screen.line(line), o.signal);
  screen.line("");
  for (const line of outcomeLines(outcome, CHILDREN)) screen.line(line);
  return isGood(outcome) && outcome.moves > 0;
}

/** What of a cluster a machine with few cores can show. */
function limits(state: ClusterState): string[] {
  const byCore = Map.groupBy(state.hosts, (h) => h.cpu);
  if (byCore.size >= state.hosts.length) return [`Each host has a core of its own: ${byCore.size} x is the most there can be.`];
  const together = [...byCore.values()].filter((hosts) => hosts.length > 1).map((hosts) => hosts.map((h) => h.name).join(" and "));
  const cores = byCore.size === 1 ? "one core" : `${byCore.size} cores`;
  const most = byCore.size === 1 ? "no rise can be seen" : `${byCore.size} x is the most there can be`;
  return [`${together.join(", ")} share a core, since this machine has ${cores} for three hosts: ${most}.`];
}

export const isGood = (o: Outcome): boolean => o.wrong === 0 && o.failed === 0;

/** What came of it. */
export function outcomeLines(o: Outcome, children: number): string[] {
  const lines: string[] = [];
  if (o.rise) lines.push(`${riseText(o.rise)}.`);
  lines.push(
    o.moves > 0
      ? `${o.movers} of ${children} programs moved by themselves, ${o.moves} moves in all; at the end ${places(o)}.`
      : "No program moved.",
  );
  if (o.failed > 0) lines.push(`${o.failed} of ${children} programs ended before they were told to.`);
  const all = `${o.records} results of ${children} programs`;
  lines.push(o.wrong === 0 ? `All ${all} equal those without Tesela.` : `${o.wrong} of ${all} are NOT what they are without Tesela.`);
  return lines;
}

const places = (o: Outcome): string => o.places.map(({ node, children }) => `${node} had ${children}`).join(", ");
