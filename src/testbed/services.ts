// tidy: table
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
