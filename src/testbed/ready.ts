import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { TeselaError } from "../base/mod.ts";
import { SERVICES } from "./services.ts";
import { type ClusterState, type HostState, isAlive } from "./state.ts";

const POLL_MS = 25;
const ANSWER_TIMEOUT_MS = 5000;
/** A list of nodes is far below. */
const MAX_ANSWER = 4 * 1024 * 1024;

/**
 * Returns when every node's teselad says that all nodes are up; in a cluster without all services, when those it has answer.
 * @throws TeselaError E_TIMEOUT naming who is not there yet, or E_NODE_DOWN when a host ends meanwhile
 */
export async function waitMembers(state: ClusterState, timeoutMs: number, signal?: AbortSignal): Promise<void> {
  const end = performance.now() + timeoutMs;
  await Promise.all(
    state.hosts.map(async (host) => {
      for (;;) {
        signal?.throwIfAborted();
        const missing = await whatIsMissing(state, host);
        if (missing === null) return;
        if (!isAlive(host.init)) throw new TeselaError("E_NODE_DOWN", `host ${host.name} ended while the cluster was coming up`);
        if (performance.now() > end) throw new TeselaError("E_TIMEOUT", `after ${timeoutMs / 1000} s ${missing}`);
        await sleep(POLL_MS);
      }
    }),
  );
}

/** Null when this host's services work and know all the others. */
async function whatIsMissing(state: ClusterState, host: HostState): Promise<string | null> {
  for (const service of SERVICES.filter((s) => state.services.includes(s.name))) {
    const socket = `/proc/${host.init?.pid}/root${service.socket}`;
    const path = service.name === "teselad" ? "/nodes" : "/status";
    const answer = await get(socket, path);
    if (answer === null) return `${service.name} of ${host.name} does not answer`;
    // Nodes know one another through their engines.
    if (service.name !== "teselad" || state.services.length < SERVICES.length) continue;
    const up = new Set(upNodes(answer));
    const absent = state.hosts.find((h) => !up.has(h.id));
    if (absent) return `${host.name} does not see ${absent.name} as up`;
  }
  return null;
}

function upNodes(answer: unknown): number[] {
  if (!Array.isArray(answer)) return [];
  return (answer as { id?: number; state?: string }[]).filter((n) => n.state === "up").map((n) => Number(n.id));
}

/** The answer to a GET over a Unix socket as JSON, or null when there is none. */
function get(socketPath: string, path: string): Promise<unknown> {
  return new Promise((resolve) => {
    const none = (): void => resolve(null);
    const req = request({ socketPath, path, agent: false, timeout: ANSWER_TIMEOUT_MS, headers: { host: "local" } });
    req.once("timeout", () => req.destroy());
    req.once("error", none);
    req.once("close", none);
    req.once("response", (res) => {
      let text = "";
      res.setEncoding("utf8");
      res.on("data", (part: string) => {
        text += part;
        if (text.length > MAX_ANSWER) req.destroy();
      });
      res.once("end", () => {
        try {
          resolve(res.statusCode === 200 ? JSON.parse(text) : null);
        } catch {
          // Not JSON: not ready, or not ours.
          none();
        }
      });
    });
    req.end();
  });
}
