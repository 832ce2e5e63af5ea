import { accessSync, constants, statSync } from "node:fs";

/** Where execvp(3) looks without a PATH (confstr(_CS_PATH)). */
const DEFAULT_PATH = "/bin:/usr/bin";

/** As shells answer: 127 when there is no such program, 126 when what is there cannot be executed. */
export type Found = { readonly path: string } | { readonly status: 126 | 127; readonly why: string };

/** Looks a program up as execvp(3) does. `path` is undefined when the environment has no PATH. */
export function findProgram(name: string, path: string | undefined): Found {
  if (name === "") return { status: 127, why: "command not found" };
  if (name.includes("/")) return look(name);
  let second: Found = { status: 127, why: "command not found" };
  for (const dir of (path ?? DEFAULT_PATH).split(":")) {
    const found = look(`${dir || "."}/${name}`);
    if ("path" in found) return found;
    if (found.status === 126 && found.why !== "Is a directory") second = found;
  }
  return second;
}

function look(path: string): Found {
  try {
    if (statSync(path).isDirectory()) return { status: 126, why: "Is a directory" };
    accessSync(path, constants.X_OK);
    return { path };
  } catch (e) {
    const code = (e as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return { status: 127, why: "No such file or directory" };
    if (code === "EACCES" || code === "EPERM") return { status: 126, why: "Permission denied" };
    return { status: 126, why: code ?? String(e) };
  }
}
