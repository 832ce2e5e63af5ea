import { writeSync } from "node:fs";

/** Line-oriented JSON log on a descriptor, stderr by default. Levels as in RFC 5424, the four that are used. */
export type Level = "error" | "warn" | "info" | "debug";
const RANK: Record<Level, number> = { error: 0, warn: 1, info: 2, debug: 3 };

export class Log {
  private readonly fd: number;
  private readonly threshold: number;
  private readonly base: Record<string, unknown>;

  constructor(options: { fd?: number; level?: Level; base?: Record<string, unknown> } = {}) {
    this.fd = options.fd ?? 2;
    this.threshold = RANK[options.level ?? "info"];
    this.base = options.base ?? {};
  }

  error(message: string, fields?: Record<string, unknown>): void {
    this.write("error", message, fields);
  }
  warn(message: string, fields?: Record<string, unknown>): void {
    this.write("warn", message, fields);
  }
  info(message: string, fields?: Record<string, unknown>): void {
    this.write("info", message, fields);
  }
  debug(message: string, fields?: Record<string, unknown>): void {
    this.write("debug", message, fields);
  }

  private write(level: Level, message: string, fields: Record<string, unknown> = {}): void {
    if (RANK[level] > this.threshold) return;
    const line = JSON.stringify({ time: new Date().toISOString(), level, message, ...this.base, ...fields }, (_, v: unknown) =>
      typeof v === "bigint" ? `0x${v.toString(16)}` : v instanceof Error ? (v.stack ?? v.message) : v,
    );
    try {
      writeSync(this.fd, `${line}\n`);
    } catch {
      // A log that cannot be written (full disk, closed descriptor) must not take the work down with it.
    }
  }
}
