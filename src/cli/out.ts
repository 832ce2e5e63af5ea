import { writeSync } from "node:fs";
import type { TeselaError } from "../base/mod.ts";
import { explained } from "./reasons.ts";

/**
 * Writes all of a text to stdout or stderr, now; false when nobody reads it. A reader that is gone (EPIPE: `tesela ps | head -1`) is not an error.
 * `process.stdout` is not used: it may turn a shared descriptor non-blocking, which other programs would inherit.
 */
export function write(fd: 1 | 2, text: string | Uint8Array): boolean {
  const bytes = typeof text === "string" ? Buffer.from(text) : text;
  let at = 0;
  while (at < bytes.length) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (e) {
      const code = (e as NodeJS.ErrnoException).code;
      if (code === "EPIPE" || code === "EBADF") return false;
      if (code !== "EAGAIN") throw e;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
  return true;
}

export const print = (text: string): void => void write(1, text.endsWith("\n") ? text : `${text}\n`);
export const printJson = (value: unknown): void => void write(1, `${JSON.stringify(value)}\n`);

/** One clear line on stderr, and for scripts the same as JSON on stdout. */
export function printError(e: TeselaError, json: boolean): void {
  if (json) printJson(e);
  const said = e.details["hint"] ?? explained(e.message, e.details["reasons"]);
  const hint = typeof said === "string" ? ` (${said})` : "";
  const cause = e.code === "E_INTERNAL" && process.env["TESELA_DEBUG"] ? `\n${e.stack}\n${String((e.cause as Error)?.stack ?? "")}` : "";
  write(2, `tesela: ${e.message.replaceAll("\n", " ")}${hint}${cause}\n`);
}
