import { createServer, type Server, type Socket } from "node:net";
import { TeselaError, toTeselaError } from "../base/mod.ts";

/**
 * The engine's own door for teselad: JSON over HTTP/1.1 on a Unix socket that only its owner may open, one request a
 * connection. Node's http module would cost a fifth of the engine's memory for this (docs/decisions/0030).
 */
export type Handler = (body: Readonly<Record<string, unknown>>) => Promise<unknown> | unknown;
export type Routes = Readonly<Record<string, Handler>>;

const MAX_HEAD = 16 * 1024;
const MAX_BODY = 256 * 1024;
/** A caller that does not get its request out. */
const REQUEST_MS = 10_000;
const END_OF_HEAD = "\r\n\r\n";

export function controlServer(routes: Routes): Server {
  return createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.setTimeout(REQUEST_MS, () => socket.destroy());
    readRequest(socket)
      .then((request) => {
        socket.setTimeout(0);
        return answer(routes, request);
      })
      .then(
        (value) => reply(socket, "200 OK", value),
        (e: unknown) => {
          const error = toTeselaError(e);
          reply(socket, error.code === "E_INTERNAL" ? "500 Internal Server Error" : "409 Conflict", error.toJSON());
        },
      );
  });
}

interface Request {
  /** `GET /status`. */
  readonly route: string;
  readonly body: string;
}

function readRequest(socket: Socket): Promise<Request> {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0);
    socket.on("data", (part) => {
      bytes = Buffer.concat([bytes, part]);
      try {
        const request = parseRequest(bytes);
        if (request) resolve(request);
      } catch (e) {
        reject(e);
      }
    });
    socket.on("close", () => reject(new TeselaError("E_LINK", "the caller went away")));
  });
}

/** Null while it is not all there. @throws TeselaError E_USAGE */
export function parseRequest(bytes: Buffer): Request | null {
  const end = bytes.indexOf(END_OF_HEAD);
  if (end < 0) {
    if (bytes.length > MAX_HEAD) throw new TeselaError("E_USAGE", `a request's head is longer than ${MAX_HEAD} bytes`);
    return null;
  }
  const head = bytes.toString("latin1", 0, end);
  const line = /^([A-Z]+) (\/[^ ?]*)(?:\?[^ ]*)? HTTP\/1\.[01](?:\r\n|$)/.exec(head);
  if (!line) throw new TeselaError("E_USAGE", "that is no HTTP request");
  if (/^transfer-encoding:/im.test(head)) throw new TeselaError("E_USAGE", "a request's body must come in one piece");
  const length = Number(/^content-length:\s*(\d+)\s*$/im.exec(head)?.[1] ?? 0);
  if (length > MAX_BODY) throw new TeselaError("E_USAGE", `a request is longer than ${MAX_BODY} bytes`);
  const start = end + END_OF_HEAD.length;
  if (bytes.length < start + length) return null;
  return { route: `${line[1]} ${line[2]}`, body: bytes.toString("utf8", start, start + length) };
}

async function answer(routes: Routes, { route, body }: Request): Promise<unknown> {
  const handler = Object.hasOwn(routes, route) ? routes[route] : undefined;
  if (!handler) throw new TeselaError("E_USAGE", `tesela-engine does not know ${route}`);
  let value: unknown = {};
  try {
    if (body !== "") value = JSON.parse(body);
  } catch (cause) {
    throw new TeselaError("E_USAGE", `the request is not JSON: ${(cause as Error).message}`, {}, { cause });
  }
  return handler((value ?? {}) as Readonly<Record<string, unknown>>);
}

function reply(socket: Socket, status: string, value: unknown): void {
  if (socket.destroyed) return;
  const body = Buffer.from(JSON.stringify(value ?? null));
  socket.end(
    Buffer.concat([
      Buffer.from(`HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`),
      body,
    ]),
  );
}
