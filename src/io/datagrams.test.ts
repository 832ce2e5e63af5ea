import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { VirtualClock } from "./clock.ts";
import { UdpDatagrams } from "./datagrams.ts";
import { datagramsConform } from "./datagrams-conformance.ts";
import { DatagramNetwork, type Weather } from "./memory-datagrams.ts";
import { SeededRandom } from "./random.ts";

datagramsConform("memory", () => {
  const clock = new VirtualClock();
  const network = new DatagramNetwork({ clock, random: new SeededRandom(1), weather: { delayMs: [1, 1] } });
  return {
    open: async (port = 0) => network.open({ address: "10.0.0.1", port }),
    settle: () => clock.advance(1000),
    async [Symbol.asyncDispose]() {},
  };
});

datagramsConform("UDP", () => ({
  open: (port = 0) => UdpDatagrams.open({ address: "127.0.0.1", port }),
  // The loopback device delivers within the call that sends; the rest is this process's own turns, each of which looks at its sockets.
  settle: async () => {
    for (let turn = 0; turn < 10; turn++) {
      await sleep(5);
      await new Promise((resolve) => setImmediate(resolve));
    }
  },
  async [Symbol.asyncDispose]() {},
}));

test("a port that is taken is told with who may have it", async () => {
  const first = await UdpDatagrams.open({ address: "127.0.0.1", port: 0 });
  try {
    await assert.rejects(UdpDatagrams.open(first.address), { code: "E_CONFIG", message: /it is in use: does another teselad run\?$/ });
  } finally {
    await first.close();
  }
});

/** Numbers sent from one end to the other in that weather, as they arrive. */
async function through(weather: Partial<Weather>, seed = 7, count = 2000): Promise<number[]> {
  const clock = new VirtualClock();
  const network = new DatagramNetwork({ clock, random: new SeededRandom(seed), weather });
  const [a, b] = [network.open({ address: "a", port: 1 }), network.open({ address: "b", port: 1 })];
  const got: number[] = [];
  b.onDatagram((bytes) => got.push(bytes.readUInt16LE()));
  for (let i = 0; i < count; i++) {
    a.send(b.address, Buffer.from([i & 0xff, i >> 8]));
    if (i % 100 === 0) await clock.advance(1);
  }
  await clock.advance(10_000);
  return got;
}

test("the weather loses, doubles and overtakes, the same way for the same seed", async () => {
  const lost = 2000 - (await through({ loss: 0.3 })).length;
  assert.ok(lost > 500 && lost < 700, `${lost} of 2000 lost`);
  const doubled = (await through({ duplicate: 0.1 })).length - 2000;
  assert.ok(doubled > 140 && doubled < 260, `${doubled} of 2000 doubled`);
  const late = await through({ late: 0.05 });
  assert.notDeepEqual(
    late,
    [...late].sort((x, y) => x - y),
  );
  assert.equal(late.length, 2000);
  const bad = { loss: 0.2, duplicate: 0.2, late: 0.2 };
  assert.deepEqual(await through(bad, 3), await through(bad, 3));
  assert.notDeepEqual(await through(bad, 3), await through(bad, 4));
});

test("islands keep to themselves until they are healed, also for what is under way", async () => {
  const clock = new VirtualClock();
  const network = new DatagramNetwork({ clock, random: new SeededRandom(1), weather: { delayMs: [5, 5] } });
  const ends = ["a", "b", "c", "d"].map((address) => network.open({ address, port: 1 }));
  const seen: string[] = [];
  for (const e of ends) e.onDatagram((_, from) => seen.push(from.address + e.address.address));
  const everyone = (): void => {
    for (const e of ends) for (const to of ends) if (to !== e) e.send(to.address, Buffer.from("x"));
  };
  everyone();
  network.isolate(["a", "b"]);
  await clock.advance(10);
  assert.deepEqual(seen.splice(0).sort(), ["ab", "ba", "cd", "dc"]);
  network.isolate(["d"]);
  everyone();
  await clock.advance(10);
  assert.deepEqual(seen.splice(0).sort(), ["ab", "ba"]);
  network.heal();
  everyone();
  await clock.advance(10);
  assert.equal(seen.length, 12);
  assert.deepEqual(network.total, { sent: 36, bytes: 36, longest: 1 });
});
