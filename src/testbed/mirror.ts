import { lstatSync, readdirSync } from "node:fs";

/**
 * How a host's file tree is made from this machine's: the same files, with the host's own changes in overlays above them. An
 * overlay of `/` does not show what is mounted below it, so each of those file systems gets its own.
 */
export type MirrorKind = "overlay" | "bind" | "dir" | "link" | "copy";

export interface MirrorStep {
  readonly kind: MirrorKind;
  readonly path: string;
}

/** What lstat(2) says of a path, as far as it matters here. */
export interface Entry {
  readonly type: "dir" | "link" | "file" | "other";
  readonly size: number;
  /** Permission bits and owner, which an overlay takes from its upper directory. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Files that stand alone are copied up to this size, so that a host can change them, and shown read-only above it. */
const COPY_LIMIT = 1024 * 1024;

/** A line of /proc/PID/mountinfo, proc_pid_mountinfo(5). */
export interface Mount {
  /** The part of the file system that is mounted: `/` for all of it. */
  readonly root: string;
  readonly path: string;
  readonly type: string;
}

/** What the kernel makes up, and what needs a daemon outside: not files to be mirrored. */
const NOT_FILES = new Set(
  (
    "autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl hugetlbfs mqueue nsfs proc pstore " +
    "ramfs rpc_pipefs securityfs selinuxfs sysfs tracefs"
  ).split(" "),
);
/** Read-only by nature: nothing can be changed in them, so no overlay is needed. */
const READ_ONLY = new Set(["squashfs", "iso9660", "erofs", "cramfs"]);
/** Made new on every host. */
const OWN = ["/proc", "/sys", "/dev", "/run"];
/** Own files of a host, which containers like to have mounted. */
const OWN_FILES = new Set(["/etc/hosts", "/etc/hostname"]);
/** What a mount option or a line of the list cannot hold; such directories are left out. */
const ODD = /[\n\\:,"]|^\s|\s$/;

const decode = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
const below = (path: string, top: string): boolean => path === top || path.startsWith(top === "/" ? "/" : `${top}/`);

export function parseMounts(mountinfo: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of mountinfo.split("\n")) {
    const fields = line.split(" ");
    const dash = fields.indexOf("-");
    const [root, path, type] = [fields[3], fields[4], fields[dash + 1]];
    if (dash < 0 || root === undefined || path === undefined || type === undefined) continue;
    mounts.push({ root: decode(root), path: decode(path), type });
  }
  return mounts;
}

/** The file systems to mirror, the last one at each place, in an order in which they can be mounted. `/` is not among them. */
function submounts(mounts: readonly Mount[], skip: readonly string[]): Mount[] {
  const last = new Map<string, Mount>();
  for (const mount of mounts) last.set(mount.path, mount);
  const out = [...OWN, ...skip];
  return [...last.values()]
    .filter((m) => m.path !== "/" && !NOT_FILES.has(m.type) && !OWN_FILES.has(m.path) && !ODD.test(m.path))
    .filter((m) => !out.some((top) => below(m.path, top)))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

export interface MirrorWorld {
  readonly mountinfo: string;
  /** The caller owns the initial user namespace's powers: one overlay of `/` is allowed. */
  readonly root: boolean;
  /** Places that hosts do not see, absolute. */
  readonly skip: readonly string[];
  readonly look: (path: string) => Entry | null;
  readonly namesIn: (path: string) => string[];
}

/**
 * The steps, parents before children. In a user namespace the kernel refuses an overlay of a directory with mounts below it
 * (they hide what lies under them), so there the tree is taken apart as far as needed: each directory without such mounts gets
 * its own overlay.
 */
export function planMirror(world: MirrorWorld): MirrorStep[] {
  const mounts = parseMounts(world.mountinfo);
  const stepOf = (m: Mount): MirrorStep => ({
    kind: world.look(m.path)?.type === "dir" && !READ_ONLY.has(m.type) ? "overlay" : "bind",
    path: m.path,
  });
  if (world.root) return [{ kind: "overlay", path: "/" }, ...submounts(mounts, world.skip).map(stepOf)];

  const steps: MirrorStep[] = [];
  const out = [...OWN, ...world.skip];
  const walk = (path: string): void => {
    for (const name of world.namesIn(path)) {
      const child = path === "/" ? `/${name}` : `${path}/${name}`;
      if (out.includes(child) || ODD.test(child)) continue;
      const entry = world.look(child);
      const type = entry?.type;
      const mount = mounts.findLast((m) => m.path === child);
      if (type === "link") steps.push({ kind: "link", path: child });
      else if (type === "file") steps.push({ kind: (entry?.size ?? 0) > COPY_LIMIT ? "bind" : "copy", path: child });
      else if (type === "dir" && mounts.some((m) => m.path !== child && below(m.path, child))) {
        steps.push({ kind: "dir", path: child });
        walk(child);
      } else if (type === "dir") {
        const kind = mount === undefined ? "overlay" : NOT_FILES.has(mount.type) ? "dir" : stepOf(mount).kind;
        steps.push({ kind, path: child });
      }
    }
  };
  walk("/");
  return steps;
}

/** The list as host.sh reads it: `KIND MODE UID:GID PATH` a line. */
export function mirrorList(steps: readonly MirrorStep[], look: MirrorWorld["look"]): string {
  return steps
    .map(({ kind, path }) => {
      const entry = look(path);
      return `${kind} ${(entry?.mode ?? 0o755).toString(8)} ${entry?.uid ?? 0}:${entry?.gid ?? 0} ${path}\n`;
    })
    .join("");
}

/** The machine's own files. What this user may not see is not there: neither may the host. */
export const realFiles: Pick<MirrorWorld, "look" | "namesIn"> = {
  look: (path) => {
    try {
      const stat = lstatSync(path);
      const type = stat.isDirectory() ? "dir" : stat.isSymbolicLink() ? "link" : stat.isFile() ? "file" : "other";
      return { type, size: stat.size, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid };
    } catch {
      return null;
    }
  },
  namesIn: (path) => {
    try {
      return readdirSync(path).sort();
    } catch {
      return [];
    }
  },
};
