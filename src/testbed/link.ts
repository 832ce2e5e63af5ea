import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { TeselaError } from "../base/mod.ts";
import { findHost } from "./enter-host.ts";
import { getState } from "./state.ts";

/**
 * Takes a host's cable out of the switch, or puts it back. Idempotent.
 * @throws TeselaError E_NONODE, E_NODE_DOWN, E_INTERNAL with what ip(8) said
 */
export function setLink(name: string, node: string | number, link: "up" | "cut"): void {
  const state = getState(name);
  const host = findHost(state, node);
  const enter = ["--target", String(state.keeper?.pid), ...(state.rootless ? ["--user", "--preserve-credentials"] : []), "--net"];
  const done = spawnSync("nsenter", [...enter, "ip", "link", "set", `v${host.id}`, link === "up" ? "up" : "down"], { encoding: "utf8" });
  if (done.status !== 0) {
    throw new TeselaError("E_INTERNAL", `the link of ${host.name} could not be changed: ${done.error?.message ?? done.stderr.trim()}`);
  }
  // For `ls`; the truth is in the switch.
  const mark = `${state.dir}/${host.name}/cut`;
  if (link === "cut") writeFileSync(mark, "");
  else rmSync(mark, { force: true });
}
