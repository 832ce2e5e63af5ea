import { createServer, type Server, type Socket } from "node:net";
import { KiB, type Log, nodeId, TeselaError } from "../base/mod.ts";
import { ALPN, type Channel, channelOver, type Peer } from "../io/mod.ts";

/** The line that the engine sends before a peer's stream: who the peer is, proven by its certificate. */
const MAX_LINE = 1 * KiB;
const LINE_MS = 2000;

/** Accepts the control streams of other nodes, which the engine passes on to this socket. */
export function peerDoor(open: (channel: Channel) => void, log: Log): Server {
  return createServer((socket) => {
    socket.on("error", (e) => log.debug("control stream", { error: e.message }));
    firstLine(socket)
      .then(({ line, rest }) => {
        const peer = readPeer(line);
        if (rest.length > 0) socket.unshift(rest);
        open(channelOver({ stream: socket, peer, alpn: ALPN.CONTROL, route: "" }));
      })
      .catch((e: unknown) => {
        log.warn("the engine passed on a stream that does not say whose it is", { error: e });
        socket.destroy();
      });
  });
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
