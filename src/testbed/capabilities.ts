import { spawn } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { TeselaError } from "../base/mod.ts";
import { isRoot, makeClustersDir } from "./state.ts";

/** What this machine and this user lack for local clusters, in words for people. */
export interface Capabilities {
  readonly ok: boolean;
  readonly missing: readonly string[];
  /** Options of unshare(1) for the user namespace of an ordinary user. */
  readonly map: readonly string[];
}

const PROGRAMS = { ip: "iproute2", unshare: "util-linux", nsenter: "util-linux", mount: "mount", taskset: "util-linux", sh: "dash" };
const ONLY_ROOT = ["--user", "--map-root-user"];
const PROBE_TIMEOUT_MS = 10_000;

/** Each line is tried in fresh namespaces, in order; the text says what does not work when it fails. */
const PROBES: readonly (readonly [script: string, fails: string])[] = [
  ["ip link add br0 type bridge", "the kernel makes no network bridges here (CONFIG_BRIDGE)"],
  ["ip link add v1 type veth peer name v2", "the kernel makes no virtual cables here (CONFIG_VETH)"],
  ['mount -t tmpfs tesela "$0" && mkdir "$0/u" "$0/w" "$0/m"', "file systems cannot be mounted in new namespaces"],
  [
    'mount -t overlay -o "lowerdir=/usr,upperdir=$0/u,workdir=$0/w$1" tesela "$0/m" && umount "$0/m"',
    "overlay file systems cannot be mounted (CONFIG_OVERLAY_FS; in user namespaces from Linux 5.11)",
  ],
  ['mount -t proc proc "$0/m"', "/proc cannot be mounted in a new PID namespace: this is a container that hides parts of its own /proc"],
];

/** Tries it: what a kernel allows is not to be read off anywhere. Takes some 30 ms. */
export async function capabilities(): Promise<Capabilities> {
  const missing = missingPrograms();
  const map = isRoot() ? [] : userMap();
  if (missing.length === 0) {
    const failed = await probe(map);
    if (failed !== null && map.length > ONLY_ROOT.length && (await probe(ONLY_ROOT)) === null)
      return { ok: true, missing: [], map: ONLY_ROOT };
    if (failed !== null) missing.push(failed);
  }
  return { ok: missing.length === 0, missing, map };
}

/** @throws TeselaError E_MISSING naming all that is missing */
export async function requireCapabilities(): Promise<Capabilities> {
  const have = await capabilities();
  if (have.ok) return have;
  const who = isRoot() ? "on this machine" : "as an ordinary user on this machine";
  throw new TeselaError("E_MISSING", `local clusters do not work ${who}: ${have.missing.join("; ")}`, { missing: have.missing });
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

function missingPrograms(): string[] {
  return Object.entries(PROGRAMS)
    .filter(([program]) => !onPath(program))
    .map(([program, pkg]) => `the program ${program} is not on the PATH (Debian package ${pkg})`);
}

/** All of the user's subordinate IDs where newuidmap(1) may map them, else only root. */
function userMap(): string[] {
  const who = [String(process.geteuid?.()), userName()].filter((w) => w !== "").join("|");
  const listed = ["/etc/subuid", "/etc/subgid"].every((file) => {
    try {
      return new RegExp(`^(${who}):`, "m").test(readFileSync(file, "utf8"));
    } catch {
      return false;
    }
  });
  return listed && onPath("newuidmap") && onPath("newgidmap") ? [...ONLY_ROOT, "--map-auto"] : ONLY_ROOT;
}

/** Empty for a user without an entry in the password file. */
function userName(): string {
  try {
    return userInfo().username.replace(/[^\w-]/g, ".");
  } catch {
    return "";
  }
}

/** Null when everything works, or what does not. */
function probe(map: readonly string[]): Promise<string | null> {
  const script = PROBES.map(([line], i) => `{ ${line}; } >/dev/null 2>&1 || exit ${i + 10}`).join("\n");
  const args = [...map, "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "sh", "-c", script];
  const child = spawn("unshare", [...args, makeClustersDir(), map.length > 0 ? ",userxattr" : ""], {
    stdio: ["ignore", "ignore", "pipe"],
    timeout: PROBE_TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  let said = "";
  child.stderr.on("data", (part: Buffer) => {
    said += part;
  });
  return new Promise((resolve) => {
    child.on("error", (e) => resolve(e.message));
    child.on("close", (status) => {
      if (status === 0) resolve(null);
      else if (status !== null && status >= 10) resolve(PROBES[status - 10]?.[1] ?? "an unknown step failed");
      else resolve(`new namespaces are refused (${said.trim() || `status ${status}`}): ${NAMESPACES_HINT}`);
    });
  });
}

const NAMESPACES_HINT = isRoot()
  ? "root needs CAP_SYS_ADMIN and CAP_NET_ADMIN, which containers usually take away (docker: --privileged)"
  : "user namespaces may be switched off by user.max_user_namespaces, kernel.unprivileged_userns_clone or AppArmor";
