import { createServer, type Server, type Socket } from "node:net";
import { KiB, type Log, nodeId, TeselaError } from "../base/mod.ts";
import { ALPN, type Channel, channelOver, type Peer } from "../io/mod.ts";
import type { JoinAbout } from "./enrol.ts";

/** The line that the engine sends before a peer's stream: who the peer is, proven by its certificate. */
const MAX_LINE = 1 * KiB;
const LINE_MS = 2000;

/** Accepts the streams that the engine passes on to this socket: control streams of other nodes, and machines that want to join. */
export function peerDoor(
  open: (channel: Channel, from: string | null) => void,
  join: (stream: Socket, about: JoinAbout) => void,
  log: Log,
): Server {
  return createServer((socket) => {
    socket.on("error", (e) => log.debug("control stream", { error: e.message }));
    firstLine(socket)
      .then(({ line, rest }) => {
        if (rest.length > 0) socket.unshift(rest);
        const about = readJoin(line);
        if (about !== null) return join(socket, about);
        const peer = readPeer(line);
        open(channelOver({ stream: socket, peer, alpn: ALPN.CONTROL, route: "" }), readFrom(line));
      })
      .catch((e: unknown) => {
        log.warn("the engine passed on a stream that does not say whose it is", { error: e });
        socket.destroy();
      });
  });
}

/** `{"join":{"binding":"HEX","from":"10.0.0.7:43210"}}` before the stream of a machine that is nobody yet; null for other lines. */
function readJoin(line: string): JoinAbout | null {
  const { join } = JSON.parse(line) as { join?: { binding?: unknown; from?: unknown } };
  if (join === undefined) return null;
  const { binding, from } = join;
  if (typeof binding !== "string" || !/^[0-9a-f]{64}$/.test(binding))
    throw new TeselaError("E_PROTOCOL", "a joining machine's stream without its binding");
  return { binding: Buffer.from(binding, "hex"), from: String(from) };
}

/** The address that the node's connection comes from, in the line about it. */
function readFrom(line: string): string | null {
  const { from } = JSON.parse(line) as { from?: unknown };
  return typeof from === "string" && from !== "" ? from.replace(/^::ffff:/, "") : null;
}

/** `{"node":2,"name":"h2","version":"0.1.0"}`; only the number is needed. */
export function readPeer(line: string): Peer {
  const value = JSON.parse(line) as { node?: unknown; name?: unknown; version?: unknown };
  const { node, name, version } = value;
  return {
    node: nodeId(Number(node)),
    name: typeof name === "string" ? name : `node ${node}`,
    version: typeof version === "string" ? version : "",
  };
}

function firstLine(socket: Socket): Promise<{ line: string; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let got = Buffer.alloc(0);
    const fail = (why: string): void => done(() => reject(new TeselaError("E_PROTOCOL", why)));
    const timer = setTimeout(() => fail(`no line within ${LINE_MS} ms`), LINE_MS);
    const onData = (chunk: Buffer): void => {
      got = Buffer.concat([got, chunk]);
      const end = got.indexOf("\n");
      if (end >= 0) done(() => resolve({ line: got.toString("utf8", 0, end), rest: got.subarray(end + 1) }));
      else if (got.length > MAX_LINE) fail(`no line in the first ${MAX_LINE} bytes`);
    };
    const onClose = (): void => fail("it ended before its line");
    const done = (act: () => void): void => {
      clearTimeout(timer);
      socket.off("data", onData).off("close", onClose);
      socket.pause();
      act();
    };
    socket.on("data", onData).on("close", onClose);
  });
}
