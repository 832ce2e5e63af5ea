import { readdirSync, readFileSync, statSync } from "node:fs";

/** `ok`; `degraded`: it works, but less well; `missing`: this machine cannot be a node without it; `unknown`: there is nothing to tell it by now. */
export type State = "ok" | "degraded" | "missing" | "unknown";

export interface Finding {
  /** What was looked at: a word or two. */
  readonly check: string;
  readonly state: State;
  /** What is there. */
  readonly found: string;
  /** What to do about it; not with `ok`, and with `unknown` where something can be done. */
  readonly todo?: string;
}

export const ok = (check: string, found: string): Finding => ({ check, state: "ok", found });
export const degraded = (check: string, found: string, todo: string): Finding => ({ check, state: "degraded", found, todo });
export const missing = (check: string, found: string, todo: string): Finding => ({ check, state: "missing", found, todo });

export const unknown = (check: string, found: string, todo?: string): Finding => ({
  check,
  state: "unknown",
  found,
  ...(todo !== undefined && { todo }),
});

/** The machine's files, or those of a test. */
export class Files {
  private readonly root: string;
  constructor(root = "") {
    this.root = root;
  }
  /** Without white space around it; null when it is not there, or not for us. */
  text(path: string): string | null {
    return quietly(() => readFileSync(this.root + path, "utf8").trim());
  }
  has(path: string): boolean {
    return quietly(() => statSync(this.root + path)) !== null;
  }
  list(path: string): string[] {
    return quietly(() => readdirSync(this.root + path)) ?? [];
  }
}

/** Whatever cannot be read is not there for Tesela: that is what is to be found out. */
function quietly<T>(look: () => T): T | null {
  try {
    return look();
  } catch {
    return null;
  }
}
