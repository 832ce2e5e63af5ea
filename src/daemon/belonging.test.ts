/** Nodes that tell each other who belongs to the cluster, over real TLS. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Log, TeselaError } from "../base/mod.ts";
import { BACKDATE_MS, certificateKeyHash, issueNode, makeRequest, newKey, signEntry } from "../cluster/mod.ts";
import { timesOf } from "./belonging.ts";
import { Roster } from "./roster.ts";
import { ca, cluster, ids, LOOPBACK, type Node, until } from "./test-belonging.ts";

const DAY_MS = 86_400_000;
const log = new Log({ level: "error" });
const refused = (pattern: RegExp) => (e: unknown) => {
  assert.ok(e instanceof TeselaError && e.code === "E_IDENTITY", String(e));
  assert.match(e.message, pattern);
  return true;
};

test("news goes on by itself, and a node that missed it asks", async () => {
  await using c = await cluster(4);
  const [one, two, three, four] = c.nodes as [Node, Node, Node, Node];
  await one.dial(two);
  await two.dial(three);
  const fresh = { id: 9, name: "h9", address: "10.0.0.9", port: 4660, key: "A".repeat(43) };
  one.roster.say(fresh, "member");
  await until("two hops", () => three.roster.record.get(9) !== undefined);
  assert.deepEqual(ids(three), [1, 2, 3, 4, 9]);
  assert.equal(four.roster.record.get(9), undefined);
  await four.dial(three);
  four.belonging.tick();
  await until("asked", () => four.roster.record.digest === one.roster.record.digest);
  assert.deepEqual(JSON.parse(readFileSync(four.paths.membershipJson, "utf8")).entries.length, 5);
  // What nobody signed changes nothing, and the stream lives.
  const link = await four.dial(one);
  link.news([{ ...signEntry(ca, { ...fresh, epoch: 7, standing: "removed" }), name: "forged" }]);
  assert.deepEqual(await link.record(one.roster.record.digest, AbortSignal.timeout(5000)), []);
  assert.equal(one.roster.record.get(9)?.standing, "member");
});

test("a removed node is refused, its live connections end, and both last over a restart", async () => {
  await using c = await cluster(3);
  const [one, two, three] = c.nodes as [Node, Node, Node];
  await one.dial(two);
  await three.dial(two);
  const link = await two.dial(three);
  let came = 0;
  two.roster.onPeers = () => void came++;
  one.roster.say(one.roster.find("h3"), "removed");
  await until("told", () => two.roster.record.get(3)?.standing === "removed");
  assert.equal(came, 0, "streams to it are not to end before it is told");
  assert.deepEqual(ids(two), [1, 2]);
  assert.deepEqual([...two.transport.cutRefused()], [3]);
  await until("cut, both ways", () => three.cut === 1 && two.cut === 1);
  await assert.rejects(
    link.status(AbortSignal.timeout(5000)),
    (e) => e instanceof TeselaError && e.code === "E_LINK" && /removed/.test(e.message),
  );
  await assert.rejects(three.dial(two), refused(/does not accept/));
  await assert.rejects(two.dial(three), refused(/removed from the cluster/));
  const again = new Roster(two.paths, "lab", ca.cert, log);
  assert.match(again.record.refuses(3, "x") ?? "", /removed/);
  // The number, taken up again: with the new key, and not with the old one.
  const anew = await issueNode(ca, three.id, "h3");
  one.roster.say({ id: 3, name: "h3", address: LOOPBACK, port: three.port, key: certificateKeyHash(anew.cert) }, "member");
  await until("told again", () => two.roster.record.get(3)?.standing === "member");
  assert.equal(came, 1);
  await assert.rejects(three.dial(two), refused(/does not accept/));
  three.transport.use(anew);
  const back = await three.dial(two);
  assert.equal((await back.status(AbortSignal.timeout(5000))).cpus, 1);
});

test("a node that is up is waited for before it is said to be out, though it is slow", async () => {
  await using c = await cluster(2);
  const [one, two] = c.nodes as [Node, Node];
  const link = await one.dial(two);
  let answered = false;
  const record = async (_: string, signal: AbortSignal): Promise<unknown[]> => {
    await sleep(1500, undefined, { signal });
    answered = true;
    return [];
  };
  one.links.set(two.id, Object.assign(Object.create(link) as typeof link, { record }));
  await one.belonging.reach(two.id);
  assert.ok(answered);
});

test("a certificate is renewed by a node that has the CA's key, for the key that the cluster knows, when a third of its time is left", async () => {
  // A day of backdating belongs to no life: it ends in 20 s, and was made for 90.
  const now = Date.now();
  await using c = await cluster(3, { notBefore: now - 70_000 - BACKDATE_MS, notAfter: now + 20_000 });
  const [one, two, three] = c.nodes as [Node, Node, Node];
  const read = (): string => readFileSync(`${two.paths.identity}/node.pem`, "utf8");
  const before = read();
  assert.deepEqual(timesOf(before, now), { lifeMs: 90_000, leftMs: timesOf(before, now).leftMs });
  await two.dial(three);
  two.belonging.tick();
  await sleep(500);
  assert.equal(two.renewals, 0, "nobody there has the CA's key");
  const link = await two.dial(one);
  const stranger = await makeRequest(await newKey());
  await assert.rejects(link.renew(stranger, AbortSignal.timeout(5000)), /key is not the one/);
  await assert.rejects(link.renew(Buffer.from("junk"), AbortSignal.timeout(5000)), /cannot be read/);
  const tick = setInterval(() => two.belonging.tick(), 100);
  try {
    await until("renewed", () => two.renewals === 1);
  } finally {
    clearInterval(tick);
  }
  assert.equal(certificateKeyHash(read()), certificateKeyHash(before), "the key stays");
  assert.ok(timesOf(read()).leftMs > 300 * DAY_MS);
  // Connections that are open go on, new ones have the new certificate, and then all is quiet.
  assert.deepEqual(await link.record(one.roster.record.digest, AbortSignal.timeout(5000)), []);
  await two.dial(three);
  two.belonging.tick();
  await sleep(200);
  assert.equal(two.renewals, 1);
});

test("a node that hears that it has left before it is answered has left", async () => {
  await using c = await cluster(2);
  const [one, two] = c.nodes as [Node, Node];
  const link = await two.dial(one);
  await one.dial(two);
  const leave = link.leave.bind(link);
  link.leave = async (signal) => {
    await leave(signal);
    await until("told", () => two.belonging.standing === "left");
    throw new Error("its streams end with that");
  };
  await two.belonging.depart();
  assert.equal(two.belonging.standing, "left");
});

test("a node leaves by way of one that has the CA's key, and is refused then", async () => {
  await using c = await cluster(3);
  const [one, two, three] = c.nodes as [Node, Node, Node];
  await three.dial(two);
  await assert.rejects(three.belonging.depart(), (e) => e instanceof TeselaError && e.code === "E_NODE_DOWN");
  await three.dial(one);
  await one.dial(two);
  await three.belonging.depart();
  await until("told", () => two.roster.record.get(3)?.standing === "left");
  assert.deepEqual(
    [ids(one), ids(two)],
    [
      [1, 2],
      [1, 2],
    ],
  );
  await assert.rejects(two.dial(three), refused(/has left the cluster/));
  assert.ok(existsSync(three.paths.nodeJson), "its files are the command's business");
  assert.equal(two.keys.best?.generation, 1, "those who stay have another key");
  await three.belonging.depart();
  // The one with the CA's key has nobody to ask, and tells the others itself.
  await one.belonging.depart();
  await until("told", () => two.roster.record.get(1)?.standing === "left");
  assert.deepEqual(ids(two), [2]);
});
