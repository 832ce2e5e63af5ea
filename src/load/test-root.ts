import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** A made-up /proc and /sys. */
export class Root implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "tesela-"));
  constructor(files: Record<string, string>) {
    this.write(files);
  }
  write(files: Record<string, string>): void {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(this.path, name)), { recursive: true });
      writeFileSync(join(this.path, name), text);
    }
  }
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

export interface MadeUp {
  readonly state?: string;
  readonly ppid?: number;
  readonly threads?: number;
  /** Clock ticks of user and system time. */
  readonly ticks?: number;
  /** The same of children that were waited for. */
  readonly childTicks?: number;
  /** Ticks since boot. */
  readonly start?: number;
  readonly rssPages?: number;
}

/** /proc/PID/stat, with a name that is meant to confuse. */
export const statText = ({ state = "S", ppid = 1, threads = 1, ticks = 0, childTicks = 0, start = 5, rssPages = 0 }: MadeUp): string =>
  `9 (a) b) ${state} ${ppid} 1 1 0 -1 0 0 0 0 0 ${ticks} 0 ${childTicks} 0 20 0 ${threads} 0 ${start} 0 ${rssPages} 0\n`;

/** /proc/PID/schedstat: milliseconds that it ran and that it waited. */
export const schedText = (ranMs: number, waitedMs: number): string => `${ranMs * 1e6} ${waitedMs * 1e6} 7\n`;

/** What every sampler wants to find. */
export const MACHINE: Readonly<Record<string, string>> = {
  "proc/self/cgroup": "0::/\n",
  "proc/self/status": "Name:\tx\nCpus_allowed_list:\t0-1\n",
  "proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu pni avx vmx\n",
  "proc/meminfo": "MemTotal:       1000000 kB\nMemFree: 1 kB\nMemAvailable:    500000 kB\n",
  "proc/uptime": "100.00 1.00\n",
};
