import { readdirSync } from "node:fs";
import type { Log } from "../base/mod.ts";
import { Exchange, stubCode } from "../image/mod.ts";
import { libc, memory, proc } from "../sys/mod.ts";
import { DEPUTIES } from "./own-pages.ts";
import { DeputyMap } from "./seat.ts";

/**
 * Ends what an engine that died has left behind: deputies whose user area is lost, and that wait in a call so that they have
 * not noticed. Those between calls end by themselves.
 */
export function endOrphans(log: Log): void {
  const code = stubCode();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      if (!isOrphan(pid, code)) continue;
      log.error("a process that was away when the engine ended was killed", { pid });
      libc.kill(pid, 9);
    } catch {
      // It has ended, or is not ours to look at.
    }
  }
}

function isOrphan(pid: number, code: Buffer): boolean {
  // One that is traced has an engine: that of a host in a namespace, maybe, whose processes are seen from outside.
  if (Number(proc.statusField(proc.readStatus(pid), "TracerPid") ?? 0) !== 0) return false;
  const here = Buffer.alloc(code.length);
  const page = proc
    .readMaps(pid)
    .filter((l) => l.start >= DEPUTIES.from && l.end <= DEPUTIES.to && l.inode === 0n && l.name === "" && (l.prot & 4) !== 0)
    .find((l) => memory.readUpTo(pid, l.start, here) === here.length && here.equals(code));
  if (!page) return false;
  const word = Buffer.alloc(8);
  memory.readUpTo(pid, page.start + DeputyMap.exchange + BigInt(Exchange.committed), word);
  const committed = Buffer.alloc(4);
  memory.readUpTo(pid, word.readBigUInt64LE(0), committed);
  return committed.readUInt32LE(0) !== 0;
}
