import { readFileSync, rmSync } from "node:fs";
import { nodePaths, type Paths, TeselaError } from "../../base/mod.ts";
import { readNodeConfig } from "../../cluster/mod.ts";
import { DaemonClient } from "../../daemon/mod.ts";
import { DONE, type Invocation } from "../command.ts";
import { print, printJson } from "../out.ts";

/** The others are told, the keys go, and the daemons end: started again, they say that this machine is no node. */
export async function run(call: Invocation): Promise<number> {
  const paths = nodePaths();
  const { id, name, cluster } = readNodeConfig(paths);
  const force = call.switches.has("force");
  let told = true;
  try {
    await new DaemonClient(paths).leave(force);
  } catch (e) {
    // Nobody to tell: a node that holds the CA's key removes it from there.
    if (!force || !(e instanceof TeselaError) || !["E_NODAEMON", "E_NODE_DOWN", "E_TIMEOUT"].includes(e.code)) throw e;
    told = false;
  }
  for (const path of [paths.nodeJson, paths.peersJson, paths.membershipJson, paths.identity])
    rmSync(path, { recursive: true, force: true });
  for (const file of [paths.enginePid, paths.teseladPid]) end(file, paths);
  if (call.json) printJson({ id, name, cluster, told });
  else print(`node ${id} (${name}) has left cluster '${cluster}'${told ? "" : "; the others do not know: tesela node remove there"}`);
  return DONE;
}

/** SIGTERM for the daemon whose PID is in the file. */
function end(file: string, paths: Paths): void {
  try {
    const pid = Number(readFileSync(file, "utf8"));
    const program = file === paths.enginePid ? "/src/engine/main.ts" : "/src/daemon/main.ts";
    if (pid > 1 && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(program)) process.kill(pid, "SIGTERM");
  } catch (e) {
    // It does not run, which is as well.
    if (!["ENOENT", "ESRCH"].includes((e as NodeJS.ErrnoException).code ?? "")) throw e;
  }
}
