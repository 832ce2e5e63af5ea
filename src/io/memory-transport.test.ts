import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeId } from "../base/mod.ts";
import { VirtualClock } from "./clock.ts";
import { MemoryNetwork } from "./memory-transport.ts";
import { channels } from "./transport.ts";
import { N1, N2, transportConformance, withSessions, type World } from "./transport-conformance.ts";

function memoryWorld(sessions = false): World {
  const network = new MemoryNetwork();
  return {
    transport: (node, { protocol, claims, pingMs, deadMs } = {}) => {
      const transport = network.transport({
        node: claims ?? node,
        proven: node,
        name: `h${node}`,
        version: "0.1.0",
        address: `mem${node}`,
        ...(protocol === undefined ? {} : { protocol }),
        ...(pingMs === undefined ? {} : { pingMs }),
        ...(deadMs === undefined ? {} : { deadMs }),
      });
      return sessions ? withSessions(transport, deadMs) : transport;
    },
    address: (node, listener, as = node) => ({ node: as, address: `mem${node}`, port: listener.port }),
    nowhere: { node: N1, address: "mem1", port: 65535 },
    freeze: () => network.cut(N1, N2),
    async [Symbol.asyncDispose]() {
      network.heal(N1, N2);
    },
  };
}

transportConformance("in memory", async () => memoryWorld());
transportConformance("sessions in memory", async () => memoryWorld(true));

test("in memory: latency and outages run on the given clock", async () => {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, latencyMs: 10 });
  const [a, b] = [1, 2].map((n) => network.transport({ node: nodeId(n), name: `h${n}`, version: "0.1.0", address: `m${n}` }));
  const got: string[] = [];
  const listener = await a?.listen({ t: channels((c) => c.onMessage((m) => got.push(`${m.payload.toString()}@${clock.now()}`))) });
  const connecting = b?.connect({ node: N1, address: "m1", port: listener?.port ?? 0 }, "t");
  await clock.advance(50);
  const channel = await connecting;
  channel?.onMessage(() => {});
  const start = clock.now();
  channel?.send("probe", null, Buffer.from("one"));
  await clock.advance(9);
  assert.deepEqual(got, []);
  await clock.advance(1);
  assert.deepEqual(got, [`one@${start + 10}`]);
  network.cut(N1, N2);
  channel?.send("probe", null, Buffer.from("two"));
  await clock.advance(5_000);
  assert.equal(got.length, 1);
  network.heal(N1, N2);
  await clock.advance(100);
  assert.match(String(got.at(-1)), /^two@/);
  network.cut(N1, N2);
  await clock.advance(29_000);
  assert.equal(await Promise.race([channel?.closed, Promise.resolve("open")]), "open");
  await clock.advance(3_000);
  assert.match(String(await channel?.closed), /nothing was heard for 30 s/);
});
