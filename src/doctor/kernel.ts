import { degraded, type Files, type Finding, missing, ok } from "./finding.ts";

/** What the kernel has to have, and lets us do: from /proc alone. */

const LEAST = [5, 13] as const;
/** PAGEMAP_SCAN of ioctl_pagemap_scan(2). */
const SCANS = [6, 7] as const;
const FEW_FILES = 4096;
/** yama, Documentation/admin-guide/LSM/Yama.rst: nobody may attach, root neither. */
const NO_ATTACH = 3;
/** What guests are shut in by. */
const NEEDED_SPACES = ["pid", "mnt", "net", "ipc", "uts", "user"] as const;

export function kernelFindings(files: Files, isRoot: boolean): Finding[] {
  return [
    version(files),
    root(isRoot),
    ptrace(files, isRoot),
    seccomp(files),
    namespaces(files),
    userns(files, isRoot),
    timens(files),
    pagemap(files),
    openFiles(files),
  ];
}

function release(files: Files): { text: string; atLeast: (want: readonly [number, number]) => boolean } {
  const text = files.text("/proc/sys/kernel/osrelease") ?? "unknown";
  const [major = 0, minor = 0] = (/^(\d+)\.(\d+)/.exec(text) ?? []).slice(1).map(Number);
  return { text, atLeast: ([a, b]) => major > a || (major === a && minor >= b) };
}

function version(files: Files): Finding {
  const { text, atLeast } = release(files);
  if (atLeast(LEAST)) return ok("kernel", `Linux ${text}`);
  return missing("kernel", `Linux ${text}`, `start a kernel from ${LEAST.join(".")} on`);
}

function root(isRoot: boolean): Finding {
  return isRoot
    ? ok("root", "this is root")
    : degraded("root", "this is an ordinary user", "a node's daemons want root; local clusters do not");
}

function ptrace(files: Files, isRoot: boolean): Finding {
  const scope = Number(files.text("/proc/sys/kernel/yama/ptrace_scope") ?? 0);
  const found = `ptrace_scope ${scope}`;
  if (scope >= NO_ATTACH)
    return missing(
      "ptrace",
      `${found}: nobody may attach`,
      "take kernel.yama.ptrace_scope out of sysctl.conf, and reboot: it cannot be lowered",
    );
  if (scope > 0 && !isRoot)
    return degraded("ptrace", `${found}: only root attaches`, "run the daemons as root, or sysctl kernel.yama.ptrace_scope=0");
  return ok("ptrace", found);
}

function seccomp(files: Files): Finding {
  const actions = files.text("/proc/sys/kernel/seccomp/actions_avail")?.split(/\s+/) ?? [];
  const lacking = ["trace", "errno", "allow"].filter((a) => !actions.includes(a));
  if (lacking.length === 0) return ok("seccomp", actions.join(" "));
  return missing(
    "seccomp",
    actions.length === 0 ? "no seccomp filters" : `no action ${lacking.join(", ")}`,
    "start a kernel with CONFIG_SECCOMP_FILTER",
  );
}

function namespaces(files: Files): Finding {
  const have = files.list("/proc/self/ns");
  const lacking = NEEDED_SPACES.filter((n) => !have.includes(n));
  if (lacking.length === 0) return ok("namespaces", NEEDED_SPACES.join(" "));
  return missing("namespaces", `none of ${lacking.join(" ")}`, "start a kernel with CONFIG_NAMESPACES and all that belong to it");
}

function userns(files: Files, isRoot: boolean): Finding {
  const most = files.text("/proc/sys/user/max_user_namespaces");
  const unprivileged = files.text("/proc/sys/kernel/unprivileged_userns_clone");
  if (most === "0")
    return degraded(
      "user namespaces",
      "user.max_user_namespaces is 0",
      "sysctl user.max_user_namespaces=10000: local clusters of ordinary users need them",
    );
  if (unprivileged === "0" && !isRoot)
    return degraded("user namespaces", "only for root", "sysctl kernel.unprivileged_userns_clone=1, for local clusters of ordinary users");
  return most === null
    ? degraded("user namespaces", "not there", "start a kernel with CONFIG_USER_NS")
    : ok("user namespaces", `at most ${most}`);
}

function timens(files: Files): Finding {
  if (files.has("/proc/self/ns/time") && files.has("/proc/self/timens_offsets")) return ok("time namespaces", "there");
  return degraded(
    "time namespaces",
    "not there",
    "start a kernel with CONFIG_TIME_NS: without, only processes of machines that booted at the same moment are taken",
  );
}

function pagemap(files: Files): Finding {
  // Nothing needs it: without, /proc/PID/pagemap is read.
  return ok(
    "PAGEMAP_SCAN",
    release(files).atLeast(SCANS) ? "there" : `not before Linux ${SCANS.join(".")}; pages are looked up one by one`,
  );
}

function openFiles(files: Files): Finding {
  const [, soft = "0", hard = "0"] = /^Max open files\s+(\S+)\s+(\S+)/m.exec(files.text("/proc/self/limits") ?? "") ?? [];
  const found = `${soft}, at most ${hard}`;
  if (hard === "unlimited" || Number(hard) >= FEW_FILES) return ok("open files", found);
  return degraded("open files", found, `ulimit -n ${FEW_FILES} or more: each process that is away takes some`);
}
