/** Nodes that change the gossip key because others are gone, over real TLS. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { certificateKeyHash, issueNode, makeGossipKey, saveCa, signEntry, type SignedKey, signKey, writeRecord } from "../cluster/mod.ts";
import { systemRandom } from "../io/mod.ts";
import { freshKeys, KEYS, KeyExchange } from "./key-exchange.ts";
import { LiveKeys } from "./live-keys.ts";
import { ca, cluster, LOOPBACK, type Node, quiet, until } from "./test-belonging.ts";

const ROOT = { uid: 0, gid: 0, via: null };
const generation = (node: Node): number => node.keys.best?.generation ?? 0;
const file = (node: Node): string => readFileSync(`${node.paths.identity}/gossip.key`, "utf8");
const quick = (): AbortSignal => AbortSignal.timeout(5000);
/** All to all. */
async function meet(...nodes: Node[]): Promise<void> {
  for (const a of nodes) for (const b of nodes) if (a !== b) await a.dial(b);
}

test("who removes a node makes a key, which goes to all but the removed one, and that one is told", async () => {
  await using c = await cluster(4);
  const [one, two, three, four] = c.nodes as [Node, Node, Node, Node];
  const outs: string[] = [];
  three.belonging.onOut = (standing) => outs.push(standing);
  await one.dial(two);
  await two.dial(four);
  await one.dial(three);
  await three.dial(two);
  const before = [one, three].map(file);
  one.roster.say(one.roster.find("h3"), "removed");
  await until("two hops", () => [one, two, four].every((n) => generation(n) === 1));
  assert.equal(new Set([one, two, four].map((n) => n.keys.best?.secret)).size, 1);
  assert.deepEqual(new Set([one, two, four].map(file)).size, 1);
  await until("told", () => outs.length > 0);
  assert.deepEqual([outs, three.belonging.standing], [["removed"], "removed"]);
  assert.deepEqual([generation(three), file(three)], [0, before[1]]);
  // Over a stream that it has still, it does not get it either.
  const link = three.links.get(2);
  assert.ok(link);
  assert.deepEqual(await link.question(KEYS, { have: null }, ROOT, quick()), { key: null });
  // Both open for a while, then the new one only.
  const old = three.keys.ring.primary;
  assert.ok(two.keys.ring.has(old));
  await until("changed", () => [one, two, four].every((n) => !n.keys.ring.has(old)));
  assert.equal(two.keys.ring.primary, one.keys.ring.primary);
});

test("removals by several nodes at once end in one key that none of the removed ones has", async () => {
  await using c = await cluster(6);
  const [one, two, three, four, five, six] = c.nodes as [Node, Node, Node, Node, Node, Node];
  saveCa(two.paths.identity, ca);
  await meet(one, two, three, four, five, six);
  // Five and six have not heard of their own removal: what is asked over streams that are open shows what they could get.
  one.roster.say(one.roster.find("h5"), "removed");
  two.roster.say(two.roster.find("h6"), "removed");
  const staying = [one, two, three, four];
  const agreed = (): boolean =>
    new Set(staying.map((n) => n.keys.best?.sig)).size === 1 && staying.every((n) => n.keys.best?.gone.length === 2);
  const tick = setInterval(() => {
    for (const n of staying) n.belonging.tick();
  }, 100);
  try {
    await until("one key", agreed);
  } finally {
    clearInterval(tick);
  }
  const { secret, gone } = one.keys.best as SignedKey;
  assert.deepEqual(
    gone.map(([id]) => id),
    [5, 6],
  );
  for (const out of [five, six]) assert.ok(!file(out).includes(secret));
  await until("the former ones are gone", () =>
    staying.every((n) => !n.keys.ring.has(five.keys.ring.primary) && n.keys.ring.primary === one.keys.ring.primary),
  );
});

test("who takes over a key that was made without knowing of all that are gone makes another one, if it can", async () => {
  await using c = await cluster(4);
  const [one, two, three] = c.nodes as [Node, Node, Node];
  saveCa(two.paths.identity, ca);
  two.roster.say(two.roster.find("h4"), "removed");
  assert.equal(generation(two), 1);
  // By one that has not heard of that, has removed somebody else, and may end before it does.
  const partial = signKey(ca, 2, [[9, 2]]);
  const [toTwo, toThree] = [await one.dial(two), await one.dial(three)];
  const { key } = (await toTwo.question(KEYS, { have: null, key: partial }, ROOT, quick())) as { key: SignedKey };
  assert.deepEqual([key.generation, key.gone.map(([id]) => id)], [3, [4]]);
  assert.equal(two.keys.best?.sig, key.sig);
  await toThree.question(KEYS, { have: null, key: partial }, ROOT, quick());
  assert.equal(three.keys.best?.sig, partial.sig);
});

test("a node that was away asks before it speaks; one that ended between removal and key makes the key when it starts", async () => {
  await using c = await cluster(3);
  const [one, two] = c.nodes as [Node, Node, Node];
  // Written down, and the end came: no key yet.
  const entry = signEntry(ca, {
    id: 3,
    name: "h3",
    address: LOOPBACK,
    port: 1,
    epoch: 2,
    standing: "removed",
    key: one.roster.record.get(3)?.key ?? "",
  });
  writeRecord(one.paths, { cluster: "lab", all: () => [...one.roster.record.all().filter((e) => e.id !== 3), entry] });
  assert.equal(generation(one), 0);
  await one.stop();
  await one.start();
  assert.equal(generation(one), 1);
  // Two was away meanwhile.
  const exchange = { paths: two.paths, self: two.id, keys: two.keys, roster: two.roster, log: quiet };
  two.roster.found({ id: 1, name: "h1", address: LOOPBACK, port: one.port });
  await freshKeys({ ...exchange, random: systemRandom, dial: () => two.dial(one) });
  assert.equal(two.keys.best?.sig, one.keys.best?.sig);
  // Whoever starts with an older one gives way, whoever has a later one gives it, and what nobody signed changes nothing.
  using again = new LiveKeys({ paths: two.paths, cluster: "lab", ca: ca.cert, log: quiet });
  assert.deepEqual([again.best, two.keys.ring.has(again.ring.primary)], [one.keys.best, true]);
  const later = signKey(ca, 2, [[3, 2]]);
  assert.ok(two.keys.take(later, "test"));
  const link = await two.dial(one);
  assert.equal(await new KeyExchange(exchange).sync(link, quick()), false);
  assert.equal(generation(one), 2);
  const forged = { ...signKey(ca, 9, []), gone: [[2, 9]] };
  await link.question(KEYS, { have: null, key: forged }, ROOT, quick());
  assert.equal(generation(one), 2);
  await assert.rejects(link.question(KEYS, { have: null, key: { secret: "x" } }, ROOT, quick()), /is none/);
});

test("a node that holds the CA's key and was away makes no second key, though the one that was removed answers it first", async () => {
  await using c = await cluster(3);
  const [one, two, three] = c.nodes as [Node, Node, Node];
  saveCa(two.paths.identity, ca);
  await one.dial(three);
  one.roster.say(one.roster.find("h3"), "removed");
  await until("told", () => three.belonging.standing === "removed");
  for (const { id, port } of [one, three]) two.roster.found({ id, name: `h${id}`, address: LOOPBACK, port });
  await freshKeys({
    ...{ paths: two.paths, self: two.id, keys: two.keys, roster: two.roster, log: quiet, random: systemRandom },
    dial: async (peer) => {
      if (peer.id === three.id) return await two.dial(three);
      // The other one answers long before: this one is busy.
      await sleep(2000);
      return await two.dial(one);
    },
  });
  assert.equal(two.keys.best?.sig, one.keys.best?.sig);
  // What the removed one knows of itself comes to two now, and changes nothing.
  two.roster.merge(three.roster.record.all(), "three");
  assert.equal(two.keys.best?.sig, one.keys.best?.sig);
});

test("a node that was let in again gets the key; what somebody writes into gossip.key is taken over", async () => {
  await using c = await cluster(3);
  const [one, two, three] = c.nodes as [Node, Node, Node];
  one.roster.say(one.roster.find("h3"), "removed");
  const anew = await issueNode(ca, three.id, "h3");
  one.roster.say({ id: 3, name: "h3", address: LOOPBACK, port: three.port, key: certificateKeyHash(anew.cert) }, "member");
  three.transport.use(anew);
  const link = await three.dial(one);
  assert.deepEqual(await link.question(KEYS, { have: null }, ROOT, quick()), { key: one.keys.best });
  const text = makeGossipKey();
  writeFileSync(`${two.paths.identity}/gossip.key`, text);
  const rings: number[] = [];
  two.keys.onChange = (ring) => rings.push(ring.primary);
  two.keys.look();
  assert.deepEqual([generation(two), rings], [0, [two.keys.ring.primary]]);
  writeFileSync(`${two.paths.identity}/gossip.key`, "rubbish");
  two.keys.look();
  assert.equal(two.keys.ring.primary, rings[0]);
});
