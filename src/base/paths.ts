import { TeselaError } from "./errors.ts";

/** TCP port of a node's one listener, as openMosix's migration port. */
export const DEFAULT_PORT = 4660;
/** UDP port of its gossip, as openMosix's information port. */
export const DEFAULT_GOSSIP_PORT = 5428;
/** Beside TCP port 4660 it is UDP port 5428, as openMosix had them; a node with another TCP port uses the UDP port of that number. */
export const gossipPort = (port: number): number => (port === DEFAULT_PORT ? DEFAULT_GOSSIP_PORT : port);
/** sizeof(sun_path) less its closing NUL, unix(7). */
export const MAX_SOCKET_PATH = 107;

/** Where a node keeps its things. Several nodes on one machine differ in these. */
export interface Paths {
  /** Sockets and PID files; gone after a reboot. */
  readonly run: string;
  /** Identity and membership; kept. */
  readonly state: string;
  readonly log: string;
  /** HTTP, the engine's, for teselad only (mode 0600). */
  readonly engineSocket: string;
  /** HTTP, teselad's, for everybody's commands (mode 0666). */
  readonly teseladSocket: string;
  /** Where the engine hands control streams of peers to teselad. */
  readonly peerSocket: string;
  readonly enginePid: string;
  readonly teseladPid: string;
  /** Directory of `ca.pem`, `node.pem`, `node.key`. */
  readonly identity: string;
  readonly nodeJson: string;
  readonly peersJson: string;
  /** What the cluster's CA says of the nodes, signed. */
  readonly membershipJson: string;
}

/**
 * `$TESELA_RUN`, `$TESELA_STATE` and `$TESELA_LOG`, or the system's places.
 * @throws TeselaError E_CONFIG when a directory is relative or too long to hold a socket
 */
export function nodePaths(env: Readonly<Record<string, string | undefined>> = process.env): Paths {
  const dir = (name: string, fallback: string): string => {
    const value = env[name] || fallback;
    if (!value.startsWith("/")) throw new TeselaError("E_CONFIG", `${name} is '${value}': want an absolute path`);
    return value.replace(/\/+$/, "");
  };
  const run = dir("TESELA_RUN", "/run/tesela");
  const state = dir("TESELA_STATE", "/var/lib/tesela");
  const socket = (name: string): string => {
    const path = `${run}/${name}.sock`;
    const bytes = Buffer.byteLength(path);
    if (bytes > MAX_SOCKET_PATH) {
      throw new TeselaError("E_CONFIG", `${path}: ${bytes} bytes, a socket's path has at most ${MAX_SOCKET_PATH}: set TESELA_RUN shorter`);
    }
    return path;
  };
  return {
    run,
    state,
    log: dir("TESELA_LOG", "/var/log/tesela"),
    engineSocket: socket("engine"),
    teseladSocket: socket("teselad"),
    peerSocket: socket("peer"),
    enginePid: `${run}/engine.pid`,
    teseladPid: `${run}/teselad.pid`,
    identity: `${state}/identity`,
    nodeJson: `${state}/node.json`,
    peersJson: `${state}/peers.json`,
    membershipJson: `${state}/membership.json`,
  };
}
