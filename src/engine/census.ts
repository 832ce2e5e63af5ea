import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { proc } from "../sys/mod.ts";

/** A descriptor that is open on a file. */
export interface OpenFile {
  readonly fd: number;
  readonly dev: number;
  readonly ino: number;
}

/**
 * What all processes of this machine have mapped and open, each looked at once: it takes a millisecond or so for each. Once those that
 * share memory stand still, nobody that was there before can have come to it but by its name.
 */
export class Census {
  private readonly maps = new Map<number, string>();
  private readonly lines = new Map<string, readonly proc.MapsLine[]>();
  private readonly open = new Map<number, readonly OpenFile[]>();

  private pids: readonly number[] = [];

  /** Those that are there now. */
  count(): void {
    this.pids = readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  }
  /** Those that were there when they were counted last. */
  get processes(): readonly number[] {
    return this.pids;
  }

  /** What it maps of a device (proc_pid_maps(5)), as it was when it was first looked at. */
  linesOn(pid: number, dev: string): readonly proc.MapsLine[] {
    return remembered(this.lines, `${pid} ${dev}`, () => {
      const text = remembered(this.maps, pid, () => readMaps(pid));
      const field = ` ${dev} `;
      return text.includes(field)
        ? proc.parseMaps(
            text
              .split("\n")
              .filter((l) => l.includes(field))
              .join("\n"),
          )
        : [];
    });
  }

  /** Files that it has open, without devices and what has no name. @param anew as they are now */
  openOf(pid: number, anew: boolean): readonly OpenFile[] {
    if (anew) this.open.delete(pid);
    return remembered(this.open, pid, () => openFiles(pid));
  }

  forget(): void {
    this.maps.clear();
    this.lines.clear();
    this.open.clear();
  }
}

function remembered<K, T>(known: Map<K, T>, key: K, look: () => T): T {
  let value = known.get(key);
  if (value === undefined) {
    value = look();
    known.set(key, value);
  }
  return value;
}

/** Of a process whose first thread has ended another one tells. */
function readMaps(pid: number): string {
  const text = unlessGone(() => readFileSync(`/proc/${pid}/maps`, "latin1")) ?? "";
  if (text !== "") return text;
  for (const tid of unlessGone(() => readdirSync(`/proc/${pid}/task`)) ?? []) {
    const its = tid === String(pid) ? "" : unlessGone(() => readFileSync(`/proc/${pid}/task/${tid}/maps`, "latin1"));
    if (its) return its;
  }
  return "";
}

/** Links of descriptors that cannot be of shared memory, though they look like files. */
const NO_MEMORY = /^\/(?:dev\/(?!shm\/)|proc\/|sys\/)/;

function openFiles(pid: number): OpenFile[] {
  const dir = `/proc/${pid}/fd`;
  return (unlessGone(() => readdirSync(dir)) ?? []).flatMap((name) => {
    const target = unlessGone(() => readlinkSync(`${dir}/${name}`));
    if (!target?.startsWith("/") || NO_MEMORY.test(target)) return [];
    const st = unlessGone(() => statSync(`${dir}/${name}`));
    return st?.isFile() ? [{ fd: Number(name), dev: st.dev, ino: st.ino }] : [];
  });
}

export function unlessGone<T>(look: () => T): T | null {
  try {
    return look();
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH" || code === "EACCES") return null;
    throw e;
  }
}
