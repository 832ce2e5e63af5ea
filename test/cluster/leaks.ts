import { existsSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** The kernel takes namespaces and mounts apart a moment after their last process, a longer one on a busy machine. */
const SETTLE_MS = 20_000;
const POLL_MS = 50;

/**
 * What a cluster left behind, by its directory, which everything of a cluster carries in some place: processes in command lines
 * and environments, file systems and network namespaces in mount tables. Empty when nothing did. After a crash the directory itself
 * may stay until the next `up`: `running` leaves it out.
 */
export async function leaks(dir: string, what: "all" | "running" = "all"): Promise<string[]> {
  const end = performance.now() + SETTLE_MS;
  for (;;) {
    const found = look(dir).filter((f) => what === "all" || f !== `directory ${dir}`);
    if (found.length === 0 || performance.now() > end) return found;
    await sleep(POLL_MS);
  }
}

function look(dir: string): string[] {
  const found = existsSync(dir) ? [`directory ${dir}`] : [];
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const argv = read(`/proc/${pid}/cmdline`).split("\0");
    if (argv.some((arg) => arg.endsWith("/keeper.sh")) && argv.includes(dir)) found.push(`process ${pid}: ${argv.join(" ")}`);
    if (`${read(`/proc/${pid}/environ`)}\0`.includes(`TESELA_TESTBED=${dir}\0`)) found.push(`process ${pid} is marked: ${argv.join(" ")}`);
    if (read(`/proc/${pid}/mountinfo`).includes(`${dir}/`)) found.push(`mounts seen by process ${pid}: ${argv.join(" ")}`);
  }
  return found;
}

/** Empty for a process that has gone. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
