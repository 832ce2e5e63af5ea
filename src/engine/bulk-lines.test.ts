import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeId, TeselaError } from "../base/mod.ts";
import { ALPN, type Channel, channels, MemoryNetwork, type PeerAddress } from "../io/mod.ts";
import { BulkLines } from "./bulk-lines.ts";
import type { Inbox } from "./carry.ts";

/** A host that answers each `fetch` by its ticket, and the connections that it has had. */
async function start(): Promise<{ lines: BulkLines; to: PeerAddress; served: Channel[]; stop: () => Promise<void> }> {
  const network = new MemoryNetwork();
  const [home, host] = [1, 2].map((n) => network.transport({ node: nodeId(n), name: `n${n}`, version: "test", address: `n${n}` }));
  assert.ok(home && host);
  const served: Channel[] = [];
  const listener = await host.listen({
    [ALPN.BULK]: channels((c) => {
      served.push(c);
      c.onMessage((m) => {
        if (m.type === "fetch" && m.head.ticket === 13) c.close(new TeselaError("E_REFUSED", "not that one"));
        else c.send("full", { ranges: [] });
      });
    }),
  });
  const to = { node: nodeId(2), address: "n2", port: listener.port };
  return { lines: new BulkLines(home, 1000), to, served, stop: async () => await listener[Symbol.asyncDispose]() };
}

const asking =
  (ticket: number, asked: number[] = []) =>
  async (inbox: Inbox): Promise<void> => {
    asked.push(ticket);
    inbox.channel.send("fetch", { ticket });
    await inbox.next("an answer", 1000, "full");
  };

test("a connection is used again once it was given back, and not before", async () => {
  const { lines, to, served, stop } = await start();
  const first = await lines.begin(to, asking(1));
  const second = await lines.begin(to, asking(2));
  assert.notEqual(second, first);
  lines.keep(first, to);
  assert.equal(await lines.begin(to, asking(3)), first);
  assert.equal(served.length, 2);
  lines.keep(first, to);
  assert.notEqual(await lines.begin({ ...to, node: nodeId(3) }, asking(4)).catch(() => null), first, "another node's is another");
  for (const c of served) c.close();
  await stop();
});

test("a few are kept, for a while", async (t) => {
  const { lines, to, served, stop } = await start();
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const begun = [];
  for (let i = 0; i < 3; i++) begun.push(await lines.begin(to, asking(i)));
  for (const inbox of begun) lines.keep(inbox, to);
  await served[2]?.closed;
  assert.deepEqual(
    begun.map((i) => i.over),
    [false, false, true],
  );
  t.mock.timers.tick(3000);
  await Promise.all(served.map((c) => c.closed));
  t.mock.timers.reset();
  assert.ok(!begun.includes(await lines.begin(to, asking(4))));
  for (const c of served) c.close();
  await stop();
});

test("one that broke while it was kept costs nothing: what was begun on it is begun on another", async () => {
  const { lines, to, served, stop } = await start();
  const first = await lines.begin(to, asking(1));
  lines.keep(first, to);
  const asked: number[] = [];
  const again = await lines.begin(to, async (inbox) => {
    if (inbox === first) {
      asked.push(0);
      throw new TeselaError("E_LINK", "it had broken");
    }
    await asking(2, asked)(inbox);
  });
  assert.deepEqual(asked, [0, 2]);
  assert.notEqual(again, first);
  assert.ok(first.over);
  lines.keep(again, to);
  served[1]?.close();
  await again.channel.closed;
  assert.notEqual(await lines.begin(to, asking(3)), again, "one that is known to be closed is not tried");
  for (const c of served) c.close();
  await stop();
});

test("what the other node says is not asked again", async () => {
  const { lines, to, served, stop } = await start();
  const first = await lines.begin(to, asking(1));
  lines.keep(first, to);
  const asked: number[] = [];
  await assert.rejects(lines.begin(to, asking(13, asked)), { code: "E_REFUSED" });
  assert.deepEqual([asked, served.length], [[13], 1]);
  await stop();
});
