import { createSocket } from "node:dgram";
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ExecWatch, OpenWatch } from "../sys/mod.ts";
import { degraded, type Finding, ok } from "./finding.ts";

/** What is not to be read off anywhere, and is tried. */

/** Why nobody can listen there now, or null. */
export function tcpTaken(port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", (e) => resolve(e.message));
    server.listen({ port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}

/** As {@link tcpTaken}. */
export function udpTaken(port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.on("error", (e) => {
      socket.close();
      resolve(e.message);
    });
    socket.bind({ port, exclusive: true }, () => socket.close(() => resolve(null)));
  });
}

/** Root needs no telling who has to start them. */
const runOn = (option: string): string => `${process.geteuid?.() === 0 ? "start" : "run the daemons as root on"} a kernel with ${option}`;

export function fanotify(tried: () => void = tryWatch): Finding {
  try {
    tried();
    return ok("fanotify", "programs are placed as they begin");
  } catch (e) {
    const todo = `${runOn("CONFIG_FANOTIFY")}: without, programs that begin are looked for, and the shortest not seen in time`;
    return degraded("fanotify", (e as Error).message, todo);
  }
}

function tryWatch(): void {
  using watch = new ExecWatch();
  watch.addMount("/");
}

/** Who opens shared memory that has a name, while it is away, has to wait. */
export function openings(tried: () => void = tryOpenings): Finding {
  try {
    tried();
    return ok("shared memory", "moves, also where it has a name");
  } catch (e) {
    const todo = `${runOn("CONFIG_FANOTIFY_ACCESS_PERMISSIONS")}: without, what shares memory by name stays`;
    return degraded("shared memory", (e as Error).message, todo);
  }
}

function tryOpenings(): void {
  const dir = mkdtempSync(join(tmpdir(), "tesela-"));
  const fd = openSync(join(dir, "watched"), "w");
  try {
    using watch = new OpenWatch();
    watch.add(fd);
  } finally {
    closeSync(fd);
    rmSync(dir, { recursive: true });
  }
}

/** @param lacks what local clusters lack (src/testbed/capabilities.ts) */
export function localClusters(lacks: readonly string[]): Finding {
  if (lacks.length === 0) return ok("local clusters", "work");
  return degraded("local clusters", lacks.join("; "), "needed for tesela cluster and the demo only");
}
