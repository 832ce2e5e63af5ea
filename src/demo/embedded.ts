import { accessSync, constants } from "node:fs";
import { TeselaError } from "../base/mod.ts";
import { capabilities, type ClusterState, clusterDown, clusterUp, type Lease } from "../testbed/mod.ts";
import { DemoHost } from "./host.ts";
import { type Output, Screen } from "./screen.ts";

export interface DemoOptions {
  /** Of its cluster. */
  readonly name: string;
  /** The cluster stays up afterwards. */
  readonly keep: boolean;
  /** About how long the whole takes. */
  readonly seconds: number;
  /** How the command is called here: `tesela`, or a path. */
  readonly command: string;
  readonly output: Output;
  readonly signal: AbortSignal;
}

export interface Needs {
  /** Program to Debian package. */
  readonly programs: Readonly<Record<string, string>>;
  /** One core for each host. */
  readonly pin: boolean;
}

export const HOSTS = 3;
/** Hosts are shown as machines of their own, though they share this one's CPUs with one another and with whatever else it does. */
const SHOW = { TESELA_LEVEL: "off", TESELA_RIVALS: "off" };

/**
 * Brings a cluster up for a show on it, levelling off, and takes it down whatever comes.
 * @throws TeselaError, or the signal's reason
 */
export async function onEmbedded(
  o: DemoOptions,
  needs: Needs,
  show: (host: DemoHost, screen: Screen, state: ClusterState) => Promise<boolean>,
): Promise<boolean> {
  using screen = new Screen(o.output);
  await requireAll(needs.programs);
  const { name, signal } = o;
  screen.line(`Bringing up three hosts on this machine (cluster '${name}') ...`);
  const begun = performance.now();
  const lease: Lease = await clusterUp({ name, hosts: HOSTS, pin: needs.pin, leased: true, env: SHOW, signal });
  let kept = false;
  const host = new DemoHost(lease.state, "h1");
  try {
    const nodes = lease.state.hosts.map((h) => `${h.name} ${h.address}`).join(", ");
    screen.line(`Up after ${((performance.now() - begun) / 1000).toFixed(1)} s: ${nodes}. Each has its own network, processes and files.`);
    const good = await show(host, screen, lease.state);
    if (o.keep) {
      lease.release();
      kept = true;
      for (const line of howToUse(o.command, name)) screen.line(line);
    }
    return good;
  } finally {
    screen.erase();
    host.killAll();
    if (!kept) await clusterDown(name);
  }
}

async function requireAll(wanted: Readonly<Record<string, string>>): Promise<void> {
  const programs = Object.entries(wanted).filter(([program]) => !onPath(program));
  const have = await capabilities();
  const missing = [...have.missing, ...programs.map(([program, pkg]) => `the program ${program} is not installed (Debian package ${pkg})`)];
  if (missing.length > 0) throw new TeselaError("E_MISSING", `the demo cannot run here: ${missing.join("; ")}`, { missing });
}

function onPath(program: string): boolean {
  return (process.env["PATH"] ?? "").split(":").some((dir) => {
    try {
      accessSync(`${dir}/${program}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function howToUse(tesela: string, name: string): string[] {
  return [
    "",
    `The cluster '${name}' stays up. Try:`,
    `  ${tesela} cluster exec --name ${name} h1 -- bash     a shell on h1, then there:`,
    "      tesela nodes",
    "      tesela run sh -c 'while :; do date; sleep 1; done' &",
    "      tesela migrate $! 2; tesela ps",
    "End it with:",
    `  ${tesela} cluster down --name ${name}`,
  ];
}
