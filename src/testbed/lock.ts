import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { TeselaError } from "../base/mod.ts";
import { identify, isAlive, makeClustersDir, type ProcessId } from "./state.ts";

/** An `up` of many hosts on a busy machine takes some seconds. */
const LOCK_TIMEOUT_MS = 60_000;
const POLL_MS = 50;

let serial = 0;

/**
 * One `up` or `down` of a name at a time, over all processes of this user; given back by `using`.
 * A lock whose holder is gone is taken over.
 * @throws TeselaError E_BUSY
 */
export async function lockCluster(name: string): Promise<Disposable> {
  const path = `${makeClustersDir()}/.${name}.lock`;
  const mine = `${path}.${process.pid}.${serial++}`;
  writeFileSync(mine, JSON.stringify(identify(process.pid)));
  try {
    const end = performance.now() + LOCK_TIMEOUT_MS;
    for (;;) {
      if (tryLink(mine, path)) return { [Symbol.dispose]: () => rmSync(path, { force: true }) };
      const holder = readHolder(path);
      if (holder !== undefined && !isAlive(holder)) breakLock(path, holder);
      else if (performance.now() > end) {
        throw new TeselaError("E_BUSY", `cluster '${name}' is being changed by process ${holder?.pid ?? "?"}: wait for it, or end it`);
      } else await sleep(POLL_MS);
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

function tryLink(mine: string, path: string): boolean {
  try {
    linkSync(mine, path);
    return true;
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw e;
  }
}

/** Undefined when the lock has just gone. */
function readHolder(path: string): ProcessId | null | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as ProcessId | null;
  } catch {
    return undefined;
  }
}

/** Moves it aside first: of several that saw the dead holder, one moves that lock; who moved a live one puts it back. */
function breakLock(path: string, dead: ProcessId | null): void {
  const aside = `${path}.broken.${process.pid}.${serial++}`;
  try {
    renameSync(path, aside);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return;
    throw e;
  }
  const moved = readHolder(aside);
  if (moved?.pid !== dead?.pid || moved?.start !== dead?.start) tryLink(aside, path);
  rmSync(aside, { force: true });
}
