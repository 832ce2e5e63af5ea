// tidy: table
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The package's own directory, without a slash at its end. */
export const PACKAGE = fileURLToPath(new URL("../..", import.meta.url)).replace(/(?<=.)\/$/, "");

/** A program that every node runs: its launcher is `bin/NAME`. */
export interface Service {
  readonly name: string;
  /** What the launcher starts. */
  readonly main: string;
  /** Its socket in the run directory, by which others know that it works. */
  readonly socket: string;
}

export const SERVICES: readonly Service[] = [
  { name: "tesela-engine", main: "src/engine/main.ts", socket: "/run/tesela/engine.sock" },
  { name: "teselad", main: "src/daemon/main.ts", socket: "/run/tesela/teselad.sock" },
];

/** Those that this package has. */
export function presentServices(): Service[] {
  return SERVICES.filter(({ name, main }) => existsSync(`${PACKAGE}/bin/${name}`) && existsSync(`${PACKAGE}/${main}`));
}

/**
 * Runs each service just far enough to fill the launchers' cache of compiled sources. Hosts see that cache, and would
 * otherwise each compile everything anew.
 */
export async function warmServices(names: readonly string[]): Promise<void> {
  await Promise.all(
    names.map(async (name) => {
      const child = spawn(`${PACKAGE}/bin/${name}`, ["--version"], { stdio: "ignore" });
      // It only saves time: that it cannot be started is told by the hosts' own attempt.
      child.on("error", () => child.unref());
      await Promise.race([once(child, "exit"), once(child, "error")]);
    }),
  );
}
