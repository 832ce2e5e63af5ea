import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { TeselaError } from "../base/mod.ts";
import { SECRET_BYTES } from "./token.ts";

/** What the node that made a token keeps of it: a file of its own in the identity directory, so that using it up is one rename(2). */
export interface OpenToken {
  readonly id: string;
  readonly secret: Buffer;
  /** Seconds since 1970. */
  readonly expires: number;
  /** The number and the name that it is good for; any unless given. */
  readonly node?: number;
  readonly name?: string;
}

/** `open`: may be used. The others are kept for a day, for the log to say what was wrong. */
export type TokenState = "open" | "used" | "expired" | "unknown";

const KEPT_S = 86_400;
const ID = /^[0-9a-f]{16}$/;
const MAX_OPEN = 256;
/** Two looks at the directory have at least this between them, however many strangers ask. */
const LOOK_MS = 100;

export class TokenStore {
  private readonly dir: string;
  private readonly wall: () => number;
  private looked = { at: Number.NEGATIVE_INFINITY, any: false };

  /** @param wall milliseconds since 1970 */
  constructor(identity: string, wall: () => number = Date.now) {
    this.dir = `${identity}/tokens`;
    this.wall = wall;
  }

  /** @throws TeselaError E_REFUSED when too many are open */
  add(token: OpenToken): void {
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    this.sweep();
    if (this.ids().length >= MAX_OPEN) throw new TeselaError("E_REFUSED", `${MAX_OPEN} tokens are open: wait until some are used or end`);
    const { secret, ...rest } = token;
    const fresh = `${this.dir}/.${token.id}.${process.pid}`;
    writeFileSync(fresh, `${JSON.stringify({ ...rest, secret: secret.toString("base64url") })}\n`, { mode: 0o600, flag: "wx" });
    renameSync(fresh, this.path(token.id));
  }

  /** Whether there is any that may be used now. */
  any(): boolean {
    const now = this.wall();
    if (Math.abs(now - this.looked.at) >= LOOK_MS) this.looked = { at: now, any: this.ids().some((id) => this.find(id).state === "open") };
    return this.looked.any;
  }

  find(id: string): { state: TokenState; token: OpenToken | null } {
    if (!ID.test(id)) return { state: "unknown", token: null };
    const token = read(this.path(id));
    if (token === null) return { state: read(this.used(id)) === null ? "unknown" : "used", token: null };
    return { state: token.expires * 1000 > this.wall() ? "open" : "expired", token };
  }

  /** True for one caller only, also of several processes. */
  use(id: string): boolean {
    try {
      renameSync(this.path(id), this.used(id));
      this.looked.at = Number.NEGATIVE_INFINITY;
      return true;
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw e;
    }
  }

  private sweep(): void {
    for (const name of readdirSync(this.dir)) {
      const path = `${this.dir}/${name}`;
      const token = read(path);
      const last = token === null ? (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) / 1000 : token.expires;
      if (last + KEPT_S < this.wall() / 1000) rmSync(path, { force: true });
    }
  }

  private ids(): string[] {
    try {
      return readdirSync(this.dir).flatMap((name) => (name.endsWith(".open") && ID.test(name.slice(0, -5)) ? [name.slice(0, -5)] : []));
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw e;
    }
  }
  private path(id: string): string {
    return `${this.dir}/${id}.open`;
  }
  private used(id: string): string {
    return `${this.dir}/${id}.used`;
  }
}

function read(path: string): OpenToken | null {
  try {
    const { id, secret, expires, node, name } = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
    const bytes = Buffer.from(String(secret), "base64url");
    if (typeof id !== "string" || bytes.length !== SECRET_BYTES || typeof expires !== "number") return null;
    return { id, secret: bytes, expires, ...(typeof node === "number" && { node }), ...(typeof name === "string" && { name }) };
  } catch {
    // Not there, or no token: not one that anybody can use.
    return null;
  }
}
