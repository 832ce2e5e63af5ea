import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Kernel } from "./machine.ts";

/** Debian's kernel for virtual machines: small, and older than most. */
const PACKAGE = "linux-image-cloud-amd64";
const CACHE = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "tesela", "vm");

/** Debian's package of a kernel, unpacked and kept; nothing of it is installed. @throws Error where apt cannot bring it */
export function fetchKernel(): Kernel {
  const dir = join(CACHE, "kernel");
  if (!existsSync(dir)) {
    const fresh = `${dir}.${process.pid}`;
    mkdirSync(fresh, { recursive: true });
    try {
      const depends = execFileSync("apt-cache", ["depends", PACKAGE], { encoding: "utf8" });
      const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
      if (!name) throw new Error(`${PACKAGE} is not known to apt`);
      execFileSync("apt-get", ["download", name], { cwd: fresh, stdio: "ignore" });
      const [file] = readdirSync(fresh);
      execFileSync("dpkg-deb", ["-x", join(fresh, file ?? ""), fresh]);
      renameSync(fresh, dir);
    } finally {
      rmSync(fresh, { recursive: true, force: true });
    }
  }
  const [release] = readdirSync(join(dir, "lib/modules"));
  return { image: join(dir, `boot/vmlinuz-${release}`), modules: join(dir, `lib/modules/${release}`) };
}
