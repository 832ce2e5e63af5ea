import { createServer, type IncomingMessage, type Server } from "node:http";
import { TeselaError, toTeselaError } from "../base/mod.ts";

/** The engine's own door for teselad: JSON over HTTP on a Unix socket that only its owner may open. */
export type Handler = (body: Readonly<Record<string, unknown>>) => Promise<unknown> | unknown;

const MAX_BODY = 256 * 1024;

export function controlServer(routes: Readonly<Record<string, Handler>>): Server {
  return createServer((req, res) => {
    answer(routes, req).then(
      (value) => reply(200, value),
      (e: unknown) => {
        const error = toTeselaError(e);
        reply(error.code === "E_INTERNAL" ? 500 : 409, error.toJSON());
      },
    );
    const reply = (status: number, value: unknown): void => {
      const body = Buffer.from(JSON.stringify(value ?? null));
      res.writeHead(status, { "content-type": "application/json", "content-length": body.length, connection: "close" });
      res.end(body);
    };
  });
}

async function answer(routes: Readonly<Record<string, Handler>>, req: IncomingMessage): Promise<unknown> {
  const name = `${req.method} ${(req.url ?? "").split("?", 1)[0]}`;
  const handler = Object.hasOwn(routes, name) ? routes[name] : undefined;
  if (!handler) throw new TeselaError("E_USAGE", `tesela-engine does not know ${name}`);
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of req as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > MAX_BODY) throw new TeselaError("E_USAGE", `the request is longer than ${MAX_BODY} bytes`);
    parts.push(part);
  }
  const text = Buffer.concat(parts).toString("utf8");
  const body: unknown = text === "" ? {} : JSON.parse(text);
  return handler((body ?? {}) as Readonly<Record<string, unknown>>);
}
