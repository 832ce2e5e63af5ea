import type { CallContext } from "./types.ts";

/**
 * Entries of /proc/PID that the kernel at home answers rightly for a process that is away. All others tell of its memory, its CPU time
 * or its threads, and are true only of a process that is there.
 */
const TRUE_AT_HOME = new Set([
  "attr",
  "autogroup",
  "auxv",
  "cgroup",
  "children",
  "comm",
  "coredump_filter",
  "cpuset",
  "cwd",
  "exe",
  "fd",
  "fdinfo",
  "gid_map",
  "limits",
  "loginuid",
  "mountinfo",
  "mounts",
  "mountstats",
  "net",
  "ns",
  "oom_adj",
  "oom_score",
  "oom_score_adj",
  "personality",
  "projid_map",
  "root",
  "sessionid",
  "setgroups",
  "uid_map",
]);

const PROC = "/proc";
const normalize = (path: string): string[] => {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts;
};

/**
 * Whether an absolute path names something in /proc that shows the calling process itself and would be wrong while it is away.
 * Textual: links that lead there, and paths relative to /proc, are for whoever opens the file to notice.
 */
export function isOwnView(path: Uint8Array, ctx: CallContext): boolean {
  const text = Buffer.from(path.buffer, path.byteOffset, path.length).toString("latin1").replace(/\0.*$/s, "");
  // Nearly all paths end here.
  if (!text.startsWith("/") || !text.includes(PROC)) return false;
  const [proc, who, what, , entry] = normalize(text);
  if (proc !== "proc" || who === undefined) return false;
  if (who !== "self" && who !== "thread-self" && who !== String(ctx.pid) && who !== String(ctx.tid)) return false;
  // Folders name the same things at home; what lies in them is looked at when it is opened.
  if (what === "task") return entry !== undefined && !TRUE_AT_HOME.has(entry);
  return what !== undefined && !TRUE_AT_HOME.has(what);
}

/** Entries that home puts together from what both kernels know of the process (src/engine/own-view-text.ts). */
const PUT_TOGETHER = new Set(["cmdline", "environ", "maps", "stat", "statm", "status"]);

/** An entry of /proc/PID, or of the folder of one of its threads. */
export interface OwnEntry {
  readonly entry: string;
  readonly tid: number | null;
}

/** What a path names of a process or of one of its threads, if it is something that home can answer for a process that is away. */
export function servedEntry(path: string, ctx: Pick<CallContext, "pid" | "tid">): OwnEntry | null {
  const parts = normalize(path);
  if (!path.startsWith("/") || parts[0] !== "proc") return null;
  if (parts[1] === "thread-self") parts.splice(1, 1, "self", "task", String(ctx.tid));
  const [, who, ...below] = parts;
  if (who !== "self" && who !== String(ctx.pid)) return null;
  const [folder, tid = "", ...names] = below;
  const ofThread = folder === "task" && /^[1-9]\d*$/.test(tid);
  const [entry, ...more] = ofThread ? names : below;
  if (entry === undefined || more.length > 0 || !PUT_TOGETHER.has(entry)) return null;
  return { entry, tid: ofThread ? Number(tid) : null };
}

/** Folders among the entries: what is read in them is looked up again by path, or is as true at home. */
const FOLDERS = new Set(["map_files", "task"]);

/** Whether an open file, by what its link in /proc/PID/fd says, is one of these: it shows whoever made it, from wherever it is read. */
export function isOwnViewFile(target: string, pid: number): boolean {
  if (!target.startsWith(`${PROC}/`) || !isOwnView(Buffer.from(target), { pid, tid: pid, reservedFds: [] })) return false;
  const last = target.slice(target.lastIndexOf("/") + 1);
  return !FOLDERS.has(last) && !/^\d+$/.test(last);
}
