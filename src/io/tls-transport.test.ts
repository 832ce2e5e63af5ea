import { connect, createServer, type Socket } from "node:net";
import { createCluster, issueNode } from "../cluster/mod.ts";
import { TlsTransport } from "./tls-transport.ts";
import { N1, N2, transportConformance, withSessions, type World } from "./transport-conformance.ts";

const LOOPBACK = "127.0.0.1";
const ca = await createCluster("conformance");
const credentials = new Map([
  [N1, await issueNode(ca, N1, "h1")],
  [N2, await issueNode(ca, N2, "h2")],
]);

/** A TCP relay that can stop passing bytes on, as a network that is cut: no end, no reset. */
async function relay(): Promise<{ to(port: number): Promise<number>; freeze(): void } & AsyncDisposable> {
  let frozen = false;
  const sockets = new Set<Socket>();
  const servers: ReturnType<typeof createServer>[] = [];
  return {
    freeze() {
      frozen = true;
      for (const socket of sockets) socket.pause();
    },
    async to(port) {
      const server = createServer({ noDelay: true }, (near) => {
        const far = connect({ port, host: LOOPBACK, noDelay: true });
        for (const [from, to] of [
          [near, far],
          [far, near],
        ] as const) {
          sockets.add(from);
          from.on("data", (chunk) => {
            if (!frozen && !to.write(chunk)) {
              from.pause();
              to.once("drain", () => frozen || from.resume());
            }
          });
          from.on("end", () => to.end());
          from.on("error", () => to.destroy());
          from.on("close", () => {
            sockets.delete(from);
            to.destroySoon();
          });
        }
      });
      servers.push(server);
      await new Promise<void>((resolve) => server.listen(0, LOOPBACK, resolve));
      return (server.address() as { port: number }).port;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

async function tlsWorld(sessions = false): Promise<World> {
  const line = await relay();
  const ports = new Map<number, number>();
  const listeners: AsyncDisposable[] = [];
  return {
    transport(node, { protocol, claims, pingMs, deadMs } = {}) {
      const own = credentials.get(node);
      if (own === undefined) throw new Error(`no node ${node}`);
      const plain = new TlsTransport({
        credentials: { ...own, node: claims ?? node },
        version: "0.1.0",
        host: LOOPBACK,
        port: 0,
        ...(protocol === undefined ? {} : { protocol }),
        ...(pingMs === undefined ? {} : { pingMs }),
        ...(deadMs === undefined ? {} : { deadMs }),
      });
      const transport = sessions ? withSessions(plain, deadMs) : plain;
      return {
        async listen(acceptors) {
          const listener = await transport.listen(acceptors);
          listeners.push(listener);
          ports.set(listener.port, await line.to(listener.port));
          return listener;
        },
        connect: (...args) => transport.connect(...args),
        connectRaw: (...args) => transport.connectRaw(...args),
      };
    },
    address: (node, listener, as = node) => ({ node: as, address: LOOPBACK, port: ports.get(listener.port) ?? listener.port }),
    // Port 1 (tcpmux) is served nowhere.
    nowhere: { node: N1, address: LOOPBACK, port: 1 },
    freeze: () => line.freeze(),
    async [Symbol.asyncDispose]() {
      for (const listener of listeners) await listener[Symbol.asyncDispose]();
      await line[Symbol.asyncDispose]();
    },
  };
}

transportConformance("TLS", () => tlsWorld());
transportConformance("sessions over TLS", () => tlsWorld(true));
