/** teselad: the control plane of a node. Started by its launcher, stopped by SIGTERM or SIGINT; tells on stderr what it does. */
import { mkdirSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { answerArguments, Log, nodeId, nodePaths, type Paths, TeselaError, toTeselaError } from "../base/mod.ts";
import { loadIdentity } from "../cluster/mod.ts";
import { ALPN, TlsTransport } from "../io/mod.ts";
import { keptYardstick } from "../load/mod.ts";
import { type NodeConfig, readNodeConfig } from "./config.ts";
import { ChannelPeer } from "./control.ts";
import { Daemon, type DaemonOptions } from "./daemon.ts";
import { openGossip } from "./gossip.ts";
import { HttpEngine } from "./engine-client.ts";
import { LiveKeys } from "./live-keys.ts";
import { LiveSettings } from "./live-settings.ts";
import type { DialPeer } from "./peer.ts";
import { isSpeed } from "./policies.ts";
import { Roster } from "./roster.ts";

const VERSION = (JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }).version;

function dialer(paths: Paths, config: NodeConfig, log: Log): Pick<DaemonOptions, "dial" | "roster" | "renewed" | "keys"> {
  const credentials = loadIdentity(paths.identity, config.name);
  if (credentials.node !== config.id || credentials.cluster !== config.cluster) {
    const names = `node ${credentials.node} of '${credentials.cluster}'`;
    throw new TeselaError("E_CONFIG", `${paths.nodeJson} says node ${config.id} of '${config.cluster}', the certificate ${names}`);
  }
  const roster = new Roster(paths, config.cluster, credentials.ca, log);
  const transport = new TlsTransport({ credentials, version: VERSION, log, refuses: roster.record.refuses });
  const dial: DialPeer = async ({ id, address, port }, signal) =>
    new ChannelPeer(await transport.connect({ node: nodeId(id), address, port }, ALPN.CONTROL, { signal }));
  const keys = new LiveKeys({ paths, cluster: config.cluster, ca: credentials.ca, log });
  return { dial, roster, keys, renewed: (fresh) => transport.use({ ...fresh, name: config.name }) };
}

/** A variable that is on or off; empty without it, for then the settings say. */
function switched<K extends string>(key: K, variable: string): { [k in K]?: boolean } {
  const text = process.env[variable] || "";
  if (text === "") return {};
  if (text !== "on" && text !== "off") throw new TeselaError("E_CONFIG", `${variable} is '${text}': want on or off`);
  return { [key]: text === "on" } as { [k in K]?: boolean };
}

/** `TESELA_SPEED`, or what the yardstick measures once on this processor. */
function speedOf(paths: Paths): number {
  const text = process.env["TESELA_SPEED"];
  if (!text) return keptYardstick(`${paths.state}/yardstick.json`);
  const speed = Number(text);
  if (!isSpeed(speed)) throw new TeselaError("E_CONFIG", `TESELA_SPEED is '${text}': want a speed, 10000 for the reference processor`);
  return speed;
}

async function run(log: Log): Promise<void> {
  const paths = nodePaths();
  const settings = new LiveSettings(log);
  process.on("SIGHUP", () => settings.reload());
  const config = readNodeConfig(paths);
  mkdirSync(paths.run, { recursive: true });
  const identity = dialer(paths, config, log);
  const stopped = new Promise<string>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
  await using _ = await Daemon.start({
    paths,
    config,
    ...identity,
    discover: process.env["TESELA_DISCOVER"] !== "off",
    version: VERSION,
    engine: new HttpEngine(paths),
    datagrams: await openGossip(config),
    log,
    settings,
    // Whether processes move by themselves as long as `tesela loadlevel` has not said.
    ...switched("level", "TESELA_LEVEL"),
    ...switched("rivals", "TESELA_RIVALS"),
    speed: speedOf(paths),
  });
  writeFileSync(paths.teseladPid, `${process.pid}\n`);
  log.info("teselad is ready", { node: config.id, name: config.name, cluster: config.cluster, pid: process.pid });
  log.info("teselad ends", { signal: await stopped });
  rmSync(paths.teseladPid, { force: true });
}

const said = answerArguments("teselad", "knows the cluster and balances it", VERSION, process.argv.slice(2));
if (said) {
  writeSync(said.fd, said.text);
  process.exit(said.status);
}
const log = new Log({ base: { program: "teselad" } });
try {
  await run(log);
} catch (e) {
  const error = toTeselaError(e);
  log.error(error.message, { code: error.code, ...(error.code === "E_INTERNAL" && { error: error.cause ?? error }) });
  process.exitCode = 1;
}
