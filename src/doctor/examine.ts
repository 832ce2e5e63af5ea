import { DEFAULT_PORT, gossipPort, nodePaths, type Paths } from "../base/mod.ts";
import { configFile, readLoadLevelList, readValues, settingsOf } from "../config/mod.ts";
import { readDiscovery, readNodeConfig } from "../cluster/mod.ts";
import { DaemonClient } from "../daemon/mod.ts";
import { capabilities } from "../testbed/mod.ts";
import { Files, type Finding } from "./finding.ts";
import { groupFindings } from "./groups.ts";
import { kernelFindings } from "./kernel.ts";
import {
  certificateFindings,
  configFinding,
  type Daemons,
  daemonFindings,
  membershipFinding,
  portFinding,
  runs,
  standingIn,
} from "./node.ts";
import { type Calls, clockFinding, multicastFinding } from "./network.ts";
import { fanotify, localClusters, openings, tcpTaken, udpTaken } from "./probes.ts";

const ENGINE = "src/engine/main.ts";

/** Looks at this machine, from the kernel up. @throws TeselaError E_CONFIG when the environment names no paths */
export async function examine(): Promise<Finding[]> {
  const paths = nodePaths();
  const files = new Files();
  const isRoot = process.geteuid?.() === 0;
  const daemons = await daemonsThatRun(files, paths);
  const port = portOf(() => readNodeConfig(paths).port);
  return [
    ...kernelFindings(files, isRoot),
    fanotify(),
    openings(),
    ...groupFindings(files),
    configFinding(readConfiguration),
    membershipFinding(
      () => readNodeConfig(paths),
      (id) => standingIn(files, paths.membershipJson, id),
      daemons.refusal ?? null,
    ),
    ...certificateFindings(files, paths.identity, Date.now(), isRoot),
    ...daemonFindings(daemons),
    portFinding(`TCP port ${port}`, daemons.engine, await tcpTaken(port)),
    portFinding(`UDP port ${gossipPort(port)}`, daemons.teselad, await udpTaken(gossipPort(port))),
    multicastFinding(await callsOf(paths)),
    clockFinding(await quietly(() => new DaemonClient(paths).clocks())),
    localClusters((await capabilities()).missing),
  ];
}

async function daemonsThatRun(files: Files, paths: Paths): Promise<Daemons> {
  try {
    const { engine, refusal } = await new DaemonClient(paths).status();
    return { teselad: true, engine: engine !== null, ...(refusal !== undefined && { refusal }) };
  } catch {
    // Whatever the reason is: it does not answer, and the engine may run without it.
    return { teselad: false, engine: runs(files, paths.enginePid, ENGINE) };
  }
}

/** What is asked of a daemon that may not run; that it does not is a finding of its own. */
async function quietly<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask();
  } catch {
    // No answer, no finding.
    return null;
  }
}

async function callsOf(paths: Paths): Promise<Calls | null> {
  const client = new DaemonClient(paths);
  return await quietly(async () => {
    const [{ node, uptimeMs }, nodes, heard] = await Promise.all([client.status(), client.nodes(), client.discovered()]);
    const up = nodes.filter((n) => n.id !== node && n.state === "up").map((n) => n.id);
    return { on: readDiscovery(paths).on, uptimeMs, up, heard };
  });
}

/** What is wrong with node.json is a finding of its own. */
function portOf(read: () => number): number {
  try {
    return read();
  } catch {
    return DEFAULT_PORT;
  }
}

function readConfiguration(): string {
  const file = configFile();
  const values = readValues(file);
  const { loadlevellist } = settingsOf(values).policy;
  const programs = readLoadLevelList(loadlevellist).size;
  return `${new Files().has(file) ? file : `defaults, no ${file}`}; ${programs} programs in ${loadlevellist}`;
}
