import { type ErrorCode, type ErrorShape, TeselaError } from "../base/mod.ts";

// An import reads all that the module exports, and one of those is a browser's WebSocket with the whole of fetch behind it: 40 ms of each start.
const { request } = process.getBuiltinModule("node:http");

/** An answer longer than this is not ours: 16 MiB holds the rows of 50000 processes. */
export const MAX_ANSWER = 16 * 1024 * 1024;

export interface Ask {
  readonly method: "GET" | "POST" | "PUT";
  readonly path: string;
  readonly body?: unknown;
  /** Milliseconds until E_TIMEOUT; a migration of many GiB takes minutes. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Who is at the other end, for the errors: the code when nobody is there, and what to call it. */
export interface Far {
  readonly socket: string;
  readonly absent: ErrorCode;
  readonly name: string;
}

const TO_DO = "tesela doctor says what is missing, and what to do about it";
const ABSENT = new Set(["ENOENT", "ECONNREFUSED"]);

/**
 * One HTTP request with JSON both ways over a Unix socket.
 * @throws TeselaError the other end's own error, or `far.absent`, E_PERM, E_TIMEOUT, E_PROTOCOL, E_LINK
 */
export function ask<T>(far: Far, what: Ask): Promise<T> {
  const body = what.body === undefined ? undefined : Buffer.from(JSON.stringify(what.body));
  return new Promise<T>((resolve, reject) => {
    const req = request({
      socketPath: far.socket,
      path: what.path,
      method: what.method,
      agent: false,
      headers: { host: "local", ...(body && { "content-type": "application/json", "content-length": body.length }) },
      ...(what.signal && { signal: what.signal }),
    });
    if (what.timeoutMs !== undefined) {
      const late = new TeselaError("E_TIMEOUT", `${far.name} did not answer ${what.path} within ${what.timeoutMs} ms`);
      const timer = setTimeout(() => req.destroy(late), what.timeoutMs);
      req.once("close", () => clearTimeout(timer));
    }
    req.once("error", (e: NodeJS.ErrnoException) => reject(connectError(far, e)));
    req.once("response", (res) => {
      const parts: Buffer[] = [];
      let size = 0;
      res.on("data", (part: Buffer) => {
        size += part.length;
        if (size > MAX_ANSWER) req.destroy(new TeselaError("E_PROTOCOL", `${far.name} answered with more than ${MAX_ANSWER} bytes`));
        else parts.push(part);
      });
      res.once("error", (e) => reject(connectError(far, e)));
      res.once("end", () => {
        try {
          resolve(readAnswer<T>(far, res.statusCode ?? 0, Buffer.concat(parts).toString("utf8")));
        } catch (e) {
          reject(e);
        }
      });
    });
    req.end(body);
  });
}

function readAnswer<T>(far: Far, status: number, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TeselaError("E_PROTOCOL", `${far.name} answered ${status} with something that is not JSON`, {}, { cause });
  }
  if (status >= 200 && status < 300) return value as T;
  if (isErrorShape(value)) throw TeselaError.from(value);
  throw new TeselaError("E_PROTOCOL", `${far.name} answered ${status} without saying why`);
}

export function isErrorShape(value: unknown): value is ErrorShape {
  if (typeof value !== "object" || value === null) return false;
  const { error, message } = value as Record<string, unknown>;
  return typeof error === "string" && typeof message === "string";
}

function connectError(far: Far, e: NodeJS.ErrnoException): Error {
  if (e instanceof TeselaError || e.name === "AbortError") return e;
  if (ABSENT.has(e.code ?? ""))
    return new TeselaError(far.absent, `${far.name} does not run on this node`, { socket: far.socket, hint: TO_DO }, { cause: e });
  if (e.code === "EACCES") return new TeselaError("E_PERM", `${far.socket}: this user may not connect`, {}, { cause: e });
  return new TeselaError("E_LINK", `${far.name} went away in mid-answer: ${e.message}`, {}, { cause: e });
}
