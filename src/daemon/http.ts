import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { type ErrorCode, KiB, type Log, TeselaError, toTeselaError } from "../base/mod.ts";
import { peerCredentials } from "../sys/mod.ts";
import type { Caller } from "./authorize.ts";

// See client.ts.
const { createServer } = process.getBuiltinModule("node:http");

/** No request of ours is longer. */
export const MAX_REQUEST = 64 * KiB;
/** Everybody may connect: nobody shall keep others out by connecting often, or by never saying what he wants. */
export const MAX_CALLERS = 512;
const HEADERS_MS = 5000;
const REQUEST_MS = 10_000;

export type Handler = (body: unknown, caller: Caller) => Promise<unknown>;
/** By method and path: `GET /nodes`. */
export type Routes = Readonly<Record<string, Handler>>;

const STATUS: Partial<Record<ErrorCode, number>> = {
  E_USAGE: 400,
  E_PERM: 403,
  E_NOENT_PID: 404,
  E_NONODE: 404,
  E_GONE: 404,
  E_INTERNAL: 500,
  E_NODE_DOWN: 503,
  E_NOENGINE: 503,
  E_LINK: 503,
  E_TIMEOUT: 504,
};
/** Whatever else is wrong stands in the way of what was asked. */
const CONFLICT = 409;

/** Serves JSON to the callers of a Unix socket, who are told apart by what the kernel says of them. */
export function jsonServer(routes: Routes, log: Log): Server {
  const server = createServer({ headersTimeout: HEADERS_MS, requestTimeout: REQUEST_MS }, (req, res) => {
    answer(routes, req)
      .then((value) => reply(res, 200, value))
      .catch((e: unknown) => {
        const error = toTeselaError(e);
        if (error.code === "E_INTERNAL") log.error("request failed", { request: `${req.method} ${req.url}`, error: error.cause ?? error });
        reply(res, STATUS[error.code] ?? CONFLICT, error.toJSON());
      });
  });
  server.maxConnections = MAX_CALLERS;
  return server;
}

async function answer(routes: Routes, req: IncomingMessage): Promise<unknown> {
  const { uid, gid } = peerCredentials(req.socket);
  const path = (req.url ?? "/").split("?", 1)[0];
  const handler = Object.hasOwn(routes, `${req.method} ${path}`) ? routes[`${req.method} ${path}`] : undefined;
  if (!handler) throw new TeselaError("E_USAGE", `teselad does not know ${req.method} ${path}`);
  const text = await readBody(req);
  let body: unknown = null;
  try {
    if (text !== "") body = JSON.parse(text);
  } catch (cause) {
    throw new TeselaError("E_USAGE", `the request is not JSON: ${(cause as Error).message}`, {}, { cause });
  }
  return await handler(body, { uid, gid, via: null });
}

async function readBody(req: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of req as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > MAX_REQUEST) throw new TeselaError("E_USAGE", `the request is longer than ${MAX_REQUEST} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

function reply(res: ServerResponse, status: number, value: unknown): void {
  if (res.headersSent || res.destroyed) return;
  const body = Buffer.from(JSON.stringify(value ?? null));
  res.writeHead(status, { "content-type": "application/json", "content-length": body.length, connection: "close" });
  res.end(body);
}
