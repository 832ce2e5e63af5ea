import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { createInterface } from "node:readline";
import { present, TeselaError } from "../base/mod.ts";
import { createCluster } from "../cluster/mod.ts";
import { requireCapabilities } from "./capabilities.ts";
import { findMemoryController, makeMemoryGroup } from "./cgroups.ts";
import { allowedCpus } from "./cpus.ts";
import { removeRemains } from "./down.ts";
import { enterProgram } from "./enter.ts";
import { writeIdentities } from "./identity.ts";
import { lockCluster } from "./lock.ts";
import { mirrorList, planMirror, realFiles } from "./mirror.ts";
import { waitMembers } from "./ready.ts";
import { PACKAGE, presentServices, warmServices } from "./services.ts";
import * as st from "./state.ts";

export interface UpOptions {
  /** `tesela` unless given. */
  readonly name?: string;
  readonly hosts: number;
  /** One core for each host, in turn. */
  readonly pin?: boolean;
  /** For host 1, 2, ...: clocks of its own (time_namespaces(7)); a host without has the machine's. */
  readonly clocks?: readonly (st.HostClocks | null)[];
  /** Bytes a host may use. */
  readonly memory?: number;
  /** Programs to run on every host: all that the package has unless given. */
  readonly services?: readonly string[];
  /** Added to the environment of the services: names and values without blanks or quotes. */
  readonly env?: Readonly<Record<string, string>>;
  /** A service that ends stays ended. */
  readonly once?: boolean;
  /** The cluster ends with this process, however it ends, unless `release` is called. */
  readonly leased?: boolean;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

export interface Lease {
  readonly state: st.ClusterState;
  /** Lets the cluster outlive this process. */
  readonly release: () => void;
}

/**
 * Hosts are the machine's guests themselves: one must not yield to the others as it would to its owner's own programs. They share its
 * processor, and a yardstick would measure how busy they are starting.
 */
const NOT_THE_OWNER = { TESELA_GUEST_GROUP: "off", TESELA_GUEST_WEIGHT: "100", TESELA_SPEED: "10000" } as const;
const HOSTS_NETWORK = "10.88.0";
/** Two services a host, started side by side on few cores, and some slack for a busy machine. */
const UP_TIMEOUT_MS = 60_000;
const MAX_TAIL = 2000;

/**
 * Brings a local cluster up; returns when every node is a member. Remains of a crashed one of that name are removed first.
 * @throws TeselaError E_EXISTS when it is up, E_MISSING when this machine cannot do it, and what went wrong otherwise
 */
export async function clusterUp(options: UpOptions): Promise<Lease> {
  const name = options.name ?? st.DEFAULT_NAME;
  const dir = st.clusterDir(name);
  if (!Number.isInteger(options.hosts) || options.hosts < 1 || options.hosts > st.MAX_HOSTS)
    throw new TeselaError("E_USAGE", `${options.hosts} hosts: want 1 to ${st.MAX_HOSTS}`);
  // Making the certificate authority and trying the kernel take a while each, and nothing of one another.
  const services = options.services ?? presentServices().map((s) => s.name);
  const [ca, { map }] = await Promise.all([createCluster(name), requireCapabilities(), warmServices(services)]);
  using _ = await lockCluster(name);
  const old = st.readState(name);
  if (old !== null && old.phase === "up" && st.allIntact(old))
    throw new TeselaError("E_EXISTS", `cluster '${name}' is up already`, { hint: `tesela cluster down --name ${name}` });
  await removeRemains(name, dir);

  let keeper: Keeper | null = null;
  try {
    let state = prepare(name, dir, options);
    await writeIdentities(state, ca);
    keeper = startKeeper(state, map);
    state = await keeper.hostsReady(state, options.signal);
    st.writeState(state);
    await waitMembers(state, options.timeoutMs ?? UP_TIMEOUT_MS, options.signal);
    state = { ...state, phase: "up" };
    st.writeState(state);
    const release = keeper.release;
    if (!options.leased) release();
    return { state, release };
  } catch (e) {
    const failed = options.signal?.aborted ? e : withLogs(e, dir, options.hosts);
    keeper?.end();
    await removeRemains(name, dir);
    throw failed;
  }
}

/** Everything on disk that the hosts start from. */
function prepare(name: string, dir: string, options: UpOptions): st.ClusterState {
  const rootless = !st.isRoot();
  const services = options.services ?? presentServices().map((s) => s.name);
  const cpus = allowedCpus();
  const files = { mountinfo: readFileSync("/proc/self/mountinfo", "utf8"), ...realFiles };
  const numbers = Array.from({ length: options.hosts }, (_, i) => i + 1);
  const planned = numbers.map((id) => ({
    id,
    name: `h${id}`,
    address: `${HOSTS_NETWORK}.${id}`,
    cpu: options.pin ? (cpus[(id - 1) % cpus.length] ?? null) : null,
    clocks: options.clocks?.[id - 1] ?? null,
  }));
  for (const host of planned)
    for (const sub of ["fs", "state", "log"]) mkdirSync(`${dir}/${host.name}/${sub}`, { recursive: true, mode: 0o755 });

  const memory = options.memory ?? null;
  const controller = memory === null ? null : findMemoryController(files.mountinfo, readFileSync("/proc/self/cgroup", "utf8"));
  const hosts: st.HostState[] = planned.map((host) => ({ ...host, cgroups: [], init: null }));
  let state: st.ClusterState = {
    version: 1,
    name,
    dir,
    created: Date.now(),
    boot: st.bootId(),
    phase: "starting",
    rootless,
    memory,
    services,
    keeper: null,
    hosts,
  };
  st.writeState(state);
  if (memory !== null) {
    for (const [i, host] of hosts.entries()) {
      const group = makeMemoryGroup(controller, `tesela-${st.clusterTag(dir)}-${host.name}`, memory);
      hosts[i] = { ...host, cgroups: [group] };
      writeFileSync(`${dir}/${host.name}/cgroup`, `${group}\n`);
      // One by one, so that no group is made that nobody knows of for long.
      state = { ...state, hosts: [...hosts] };
      st.writeState(state);
    }
  }

  const settings = {
    package: PACKAGE,
    clusters: st.clustersDir(),
    services: services.join(" "),
    once: options.once ? services.join(" ") : "",
    environment: Object.entries({ ...NOT_THE_OWNER, ...options.env })
      .map(assignment)
      .join(" "),
    rootless: rootless ? "yes" : "no",
    home: process.env["HOME"] || "/",
    search: `${PACKAGE}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
  };
  const quoted = Object.entries(settings).map(([key, value]) => `${key}='${value.replaceAll("'", "'\\''")}'\n`);
  writeFileSync(`${dir}/settings`, quoted.join(""));
  const plan = planned.map((h) =>
    [h.id, h.name, h.address, macOf(h.id), h.cpu ?? "-", h.clocks?.monotonic ?? "-", h.clocks?.boot ?? "-"].join(" "),
  );
  writeFileSync(`${dir}/plan`, `${plan.join("\n")}\n`);
  writeFileSync(`${dir}/hosts`, `127.0.0.1 localhost\n${planned.map((h) => `${h.address} ${h.name}\n`).join("")}`);
  const steps = planMirror({ ...files, root: !rootless, skip: [st.clustersDir()] });
  writeFileSync(`${dir}/mirror`, mirrorList(steps, files.look));
  writeFileSync(`${dir}/enter`, enterProgram(), { mode: 0o755 });
  return state;
}

/** @throws TeselaError E_USAGE for one that a shell would not take as a single word */
function assignment([key, value]: [string, string]): string {
  const text = `${key}=${value}`;
  if (!/^[A-Za-z_]\w*=[\w./:,@+-]*$/.test(text)) throw new TeselaError("E_USAGE", `'${text}' cannot be in the services' environment`);
  return text;
}

/** Locally administered, and readable in a packet dump. */
const macOf = (id: number): string => `02:00:00:00:00:${id.toString(16).padStart(2, "0")}`;

interface Keeper {
  readonly hostsReady: (state: st.ClusterState, signal?: AbortSignal) => Promise<st.ClusterState>;
  readonly release: () => void;
  readonly end: () => void;
}

function startKeeper(state: st.ClusterState, map: readonly string[]): Keeper {
  const user = state.rootless ? map : [];
  const args = [...user, "--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child", `${PACKAGE}/src/testbed/keeper.sh`, state.dir];
  const log = openSync(`${state.dir}/keeper.log`, "a", 0o600);
  // A session of its own: no terminal's hang-up or ^C reaches it.
  const child = spawn("unshare", args, { stdio: ["pipe", "pipe", log], detached: true, cwd: "/" });
  closeSync(log);
  child.unref();
  const rope = present(child.stdin as Socket | null, "the keeper's stdin");
  rope.unref();
  rope.on("error", () => rope.destroy());
  return {
    hostsReady: (from, signal) => hostsReady(child, from, signal),
    release: () => rope.end("keep\n"),
    end: () => rope.destroy(),
  };
}

/** Follows what keeper.sh and host.sh say until every host's tree stands. */
async function hostsReady(child: ChildProcess, state: st.ClusterState, signal?: AbortSignal): Promise<st.ClusterState> {
  const inits = new Map<number, st.ProcessId | null>();
  const ready = new Set<number>();
  let keeper: st.ProcessId | null = null;
  const input = present(child.stdout, "the keeper's stdout");
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  const stop = (): void => lines.close();
  signal?.addEventListener("abort", stop);
  const failed = once(child, "error").then(([e]) => {
    throw new TeselaError("E_MISSING", `unshare cannot be started: ${(e as Error).message}`);
  });
  failed.catch(stop);
  try {
    for await (const line of lines) {
      const [word, subject = "", value = ""] = line.split(" ");
      if (word === "keeper") keeper = st.identify(Number(subject));
      else if (word === "host") inits.set(Number(subject), st.identify(Number(value)));
      else if (word === "ready") ready.add(Number(subject));
      else if (word === "ended") throw new TeselaError("E_INTERNAL", `host ${subject} ended while it was coming up, with status ${value}`);
      if (ready.size === state.hosts.length) {
        return { ...state, keeper, hosts: state.hosts.map((h) => ({ ...h, init: inits.get(h.id) ?? null })) };
      }
    }
    signal?.throwIfAborted();
    if (child.pid === undefined) await failed;
    throw new TeselaError("E_INTERNAL", "the cluster ended while it was coming up");
  } finally {
    signal?.removeEventListener("abort", stop);
    input.destroy();
  }
}

/** The end of every log that says something, since the logs go with the cluster. */
function withLogs(e: unknown, dir: string, hosts: number): unknown {
  if (!(e instanceof TeselaError)) return e;
  const names = Array.from({ length: hosts }, (_, i) => `h${i + 1}`);
  const places = ["keeper.log", ...names.flatMap((h) => ["boot", "init", "teselad", "tesela-engine"].map((l) => `${h}/log/${l}.log`))];
  const logs: Record<string, string> = {};
  for (const place of places) {
    try {
      const text = readFileSync(`${dir}/${place}`, "utf8").trim();
      if (text !== "") logs[place] = text.slice(-MAX_TAIL);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    }
  }
  return new TeselaError(e.code, e.message, { ...e.details, logs }, { cause: e });
}
