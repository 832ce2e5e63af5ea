/**
 * Run on a host: one end of a channel that lives through outages. Prints one line of JSON for each thing that happens.
 *
 *     node outage.ts listen PORT | node outage.ts dial ADDRESS PORT NODE [DEAD_MS]
 *
 * The dialling end sends a number each 20 ms, the listening one sends it back.
 */
import { nodeId, toTeselaError } from "../../src/base/mod.ts";
import { loadIdentity } from "../../src/cluster/mod.ts";
import { type Channel, channels, TlsTransport } from "../../src/io/mod.ts";

/** Longer than TCP waits at most, twice as long each time, before it sends again what was lost in an outage of three seconds. */
export const DEAD_MS = 8000;
const ALPN = "tesela-test/1";
export const EVERY_MS = 20;

export type Event = { what: "ready" } | { what: "up" } | { what: "back"; n: number } | { what: "closed"; code: string | null };

const [role, ...args] = process.argv.slice(2);
const say = (event: Event): void => console.log(JSON.stringify(event));

function transport(port: number, deadMs = DEAD_MS): TlsTransport {
  const credentials = loadIdentity(`${process.env["TESELA_STATE"] ?? "/var/lib/tesela"}/identity`);
  return new TlsTransport({ credentials, version: "0.1.0", port, pingMs: 200, deadMs });
}

async function ended(channel: Channel): Promise<never> {
  const reason = await channel.closed;
  say({ what: "closed", code: reason === null ? null : toTeselaError(reason).code });
  process.exit(0);
}

if (role === "listen") {
  await transport(Number(args[0])).listen({
    [ALPN]: channels((channel) => {
      channel.onMessage((m) => channel.send("probe", null, m.payload));
      void ended(channel);
    }),
  });
  say({ what: "ready" });
} else if (role === "dial") {
  const [address = "", port, node, deadMs = String(DEAD_MS)] = args;
  const channel = await transport(0, Number(deadMs)).connect({ node: nodeId(Number(node)), address, port: Number(port) }, ALPN);
  channel.onMessage((m) => say({ what: "back", n: m.payload.readUInt32LE() }));
  say({ what: "up" });
  let n = 0;
  setInterval(() => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(n++);
    channel.send("probe", null, bytes);
  }, EVERY_MS);
  void ended(channel);
}
