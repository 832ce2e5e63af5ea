/**
 * Run on a host: attacks another node's listener in every way that a peer may, prints what came back as JSON.
 *
 *     node strangers.ts ADDRESS PORT NODE
 */
import { readFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { nodeId, TeselaError } from "../../src/base/mod.ts";
import { createCluster, issueNode, loadIdentity } from "../../src/cluster/mod.ts";
import { ALPN, type Credentials, TlsTransport } from "../../src/io/mod.ts";
import { codec } from "../../src/wire/mod.ts";

/** What became of one attack. `bytes`: application bytes received. */
export interface Fate {
  readonly bytes: number;
  readonly ms: number;
  /** Of a dialler of ours: its error. */
  readonly error?: string;
}

const STATE = process.env["TESELA_STATE"] ?? "/var/lib/tesela";

async function main(address: string, port: number, target: number): Promise<Record<string, Fate>> {
  const config = JSON.parse(readFileSync(`${STATE}/node.json`, "utf8")) as { name: string; cluster: string };
  const own = loadIdentity(`${STATE}/identity`, config.name);
  const foreign = await issueNode(await createCluster(own.cluster), own.node, own.name);
  const hello = Buffer.concat(codec.encode("hello", { protocol: 1, node: own.node, name: own.name, version: "0" }, []));
  const huge = Buffer.from("ffffffff0a000000", "hex");

  const fate = (socket: Socket, say: Buffer): Promise<Fate> => {
    const start = performance.now();
    let bytes = 0;
    socket.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    socket.on("error", () => socket.destroy());
    socket.write(say);
    return new Promise((resolve) => socket.once("close", () => resolve({ bytes, ms: Math.round(performance.now() - start) })));
  };
  const tls = (c: Pick<Credentials, "cert" | "key"> | null, say: Buffer, alpn: string = ALPN.ENGINE): Promise<Fate> => {
    const socket = connectTls({
      host: address,
      port,
      ca: own.ca,
      ...(c === null ? {} : { cert: c.cert, key: c.key }),
      ALPNProtocols: [alpn],
      servername: `n${target}.tesela`,
      checkServerIdentity: () => undefined,
    });
    return fate(socket, say);
  };
  const dial = async (credentials: Credentials, node: number, send: Buffer | null): Promise<Fate> => {
    const start = performance.now();
    try {
      const transport = new TlsTransport({ credentials, version: "0.1.0" });
      const channel = await transport.connect({ node: nodeId(node), address, port }, ALPN.ENGINE);
      channel.onMessage(() => {});
      if (send !== null) channel.sendFrame(send);
      throw (await channel.closed) ?? new Error("closed in good order");
    } catch (e) {
      const error = e instanceof TeselaError ? `${e.code}: ${e.message}` : String(e);
      return { bytes: 0, ms: Math.round(performance.now() - start), error };
    }
  };

  const plain = (say: Buffer): Promise<Fate> => fate(connectTcp(port, address), say);
  return {
    noCertificate: await tls(null, hello),
    wrongCa: await tls(foreign, hello),
    wrongCaBulk: await tls(foreign, hello, ALPN.BULK),
    wrongCaControl: await tls(foreign, hello, ALPN.CONTROL),
    joinWithoutToken: await tls(null, hello, ALPN.JOIN),
    memberWantsToJoin: await tls(own, hello, ALPN.JOIN),
    unknownProtocol: await tls(own, hello, "http/1.1"),
    garbage: await plain(Buffer.from("GET / HTTP/1.1\r\n\r\n")),
    noise: await plain(Buffer.alloc(100_000, 0xa5)),
    halfOpen: await plain(Buffer.from("16030105c9010005c50303", "hex")),
    wrongNode: await dial(own, target + 1, null),
    ownWrongCa: await dial({ ...own, cert: foreign.cert, key: foreign.key }, target, null),
    otherCluster: await dial(foreign, target, null),
    oversized: await dial(own, target, huge),
    unknownMessage: await dial(own, target, Buffer.from("04000000ff000000", "hex")),
    wrongHead: await dial(own, target, Buffer.from("05000000140001001a", "hex")),
  };
}

const [address = "", port = "", node = ""] = process.argv.slice(2);
if (import.meta.main) console.log(JSON.stringify(await main(address, Number(port), Number(node))));
