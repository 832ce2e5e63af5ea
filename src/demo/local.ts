import { spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileTrouble, nodePaths, TeselaError } from "../base/mod.ts";
import { DaemonClient } from "../daemon/mod.ts";
import { PACKAGE } from "../testbed/mod.ts";
import { type Outcome, type Plan, proclb } from "./proclb.ts";
import { makeRecords } from "./records.ts";

export interface LocalOptions extends Omit<Plan, "file" | "shares" | "cpus"> {
  /** null: one is made. */
  readonly file: string | null;
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
}

/** proclb on the cluster that this machine is a node of. @throws TeselaError, or the signal's reason */
export async function runLocal(o: LocalOptions): Promise<Outcome> {
  using file = o.file === null ? new MadeFile() : given(o.file);
  const client = new DaemonClient(nodePaths());
  const env = { ...process.env, LC_ALL: "C" };
  return await proclb(
    {
      client,
      moving: [join(PACKAGE, "bin/tesela"), "run"],
      // A session of its own: ^C reaches this program, which then ends it.
      spawn: ([command, ...args]) => spawn(command, args, { env, stdio: ["pipe", "pipe", "pipe"], detached: true }),
    },
    { ...o, file: file.path },
    o.tell,
    o.signal,
  );
}

interface Records extends Disposable {
  readonly path: string;
}

class MadeFile implements Records {
  readonly path: string;
  private readonly dir: string;

  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), "tesela-proclb-"));
    this.path = join(this.dir, "records");
    writeFileSync(this.path, makeRecords());
  }
  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** @throws TeselaError E_USAGE when it cannot be read, or holds nothing */
function given(name: string): Records {
  const path = resolve(name);
  try {
    accessSync(path, constants.R_OK);
    const stat = statSync(path);
    if (!stat.isFile()) throw new TeselaError("E_USAGE", `${name}: not a file`);
    if (stat.size === 0) throw new TeselaError("E_USAGE", `${name}: it has no records`);
  } catch (e) {
    if (e instanceof TeselaError) throw e;
    throw new TeselaError("E_USAGE", `${name}: ${fileTrouble(e)}`, {}, { cause: e });
  }
  return { path, [Symbol.dispose]: () => undefined };
}
